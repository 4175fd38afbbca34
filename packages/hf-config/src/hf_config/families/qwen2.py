from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, late_windows, used_window
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Qwen2Config(PreTrainedConfig):
    """Qwen2: Llama with query, key and value biases, and a window on late layers."""

    model_type: ClassVar[str] = "qwen2"

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    use_sliding_window: bool = False
    sliding_window: int | None = used_window(4096)
    max_window_layers: int = 28
    layer_types: tuple[LayerType, ...] = layer_types(late_windows)
    attention_dropout: float = 0.0
