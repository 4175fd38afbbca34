from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class HeliumConfig(PreTrainedConfig):
    """Helium: Llama with interleaved rotation and a late cast in its norms."""

    model_type: ClassVar[str] = "helium"

    vocab_size: int = 48000
    hidden_size: int = 2560
    intermediate_size: int = 7040
    num_hidden_layers: int = 24
    num_attention_heads: int = 20
    num_key_value_heads: int = 20
    head_dim: int = 128
    hidden_act: Activation = "silu"
    attention_dropout: float = 0.0
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-08
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(theta=100000.0)
    pad_token_id: int | None = 3
    eos_token_id: int | tuple[int, ...] | None = 2
    bos_token_id: int | None = 1
    attention_bias: bool = False
    mlp_bias: bool = False
