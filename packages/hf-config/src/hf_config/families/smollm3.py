from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, rotated_layers
from hf_config.layers import LayerType, layer_types
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _windows(config: "SmolLM3Config") -> list[LayerType]:
    windowed = config.use_sliding_window and config.sliding_window is not None
    return [
        "sliding_attention" if windowed and not rope else "full_attention" for rope in config.no_rope_layers
    ]


@record
class SmolLM3Config(PreTrainedConfig):
    """SmolLM3: Llama that leaves every fourth layer without positions."""

    model_type: ClassVar[str] = "smollm3"

    vocab_size: int = 128256
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 128004
    bos_token_id: int | None = 128000
    eos_token_id: int | tuple[int, ...] | None = 128001
    rope_parameters: RopeParameters = rope(theta=2000000.0)
    use_sliding_window: bool = False
    sliding_window: int | None = None
    no_rope_layers: tuple[int, ...] = derived(rotated_layers)
    no_rope_layer_interval: int = 4
    layer_types: tuple[LayerType, ...] = layer_types(_windows)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    tie_word_embeddings: bool = True
