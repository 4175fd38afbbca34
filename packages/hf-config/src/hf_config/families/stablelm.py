from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class StableLmConfig(PreTrainedConfig):
    """StableLM: layer norms, quarter-rotated heads and an optional parallel layout."""

    model_type: ClassVar[str] = "stablelm"

    vocab_size: int = 50304
    intermediate_size: int = 6912
    hidden_size: int = 2560
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(partial=0.25)
    use_qkv_bias: bool = False
    qk_layernorm: bool = False
    use_parallel_residual: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 0
