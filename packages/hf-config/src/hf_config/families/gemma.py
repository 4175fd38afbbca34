from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, tanh_gelu
from hf_config.record import completed, record
from hf_config.rope import RopeParameters, rope


@record
class GemmaConfig(PreTrainedConfig):
    """Gemma: scaled embeddings, norms that add one to their weight, wide heads."""

    model_type: ClassVar[str] = "gemma"

    vocab_size: int = 256000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    head_dim: int = 256
    hidden_act: Activation = completed(tanh_gelu)
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    use_bidirectional_attention: bool | None = None
