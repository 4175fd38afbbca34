from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Ernie4_5Config(PreTrainedConfig):
    """ERNIE 4.5: Llama with interleaved rotation in float32."""

    model_type: ClassVar[str] = "ernie4_5"

    vocab_size: int = 103424
    hidden_size: int = 1024
    intermediate_size: int = 3072
    num_hidden_layers: int = 18
    num_attention_heads: int = 16
    num_key_value_heads: int = 2
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope(theta=500000.0)
    use_bias: bool = False
    head_dim: int = 128
