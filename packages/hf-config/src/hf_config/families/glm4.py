from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Glm4Config(PreTrainedConfig):
    """GLM-4 0414: GLM with norms before and after each part."""

    model_type: ClassVar[str] = "glm4"

    vocab_size: int = 151552
    hidden_size: int = 4096
    intermediate_size: int = 13696
    num_hidden_layers: int = 40
    num_attention_heads: int = 32
    num_key_value_heads: int = 2
    head_dim: int = 128
    hidden_act: Activation = "silu"
    attention_dropout: float = 0.0
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1.5625e-07
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(partial=0.5)
    pad_token_id: int | None = 151329
    eos_token_id: int | tuple[int, ...] | None = (151329, 151336, 151338)
    attention_bias: bool = True
