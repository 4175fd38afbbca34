from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, late_windows, used_window
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Qwen3Config(PreTrainedConfig):
    """Qwen3: Qwen2 without biases, normalising each head's queries and keys."""

    model_type: ClassVar[str] = "qwen3"

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = used_window(4096)
    max_window_layers: int = 28
    layer_types: tuple[LayerType, ...] = layer_types(late_windows)
    attention_dropout: float = 0.0
