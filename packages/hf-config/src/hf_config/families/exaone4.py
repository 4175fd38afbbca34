from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, windows_by_pattern
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Exaone4Config(PreTrainedConfig):
    """EXAONE 4: norms after each part, normalised heads, full layers without positions."""

    model_type: ClassVar[str] = "exaone4"

    vocab_size: int = 102400
    hidden_size: int = 4096
    intermediate_size: int = 16384
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_dropout: float = 0.0
    sliding_window: int | None = 4096
    sliding_window_pattern: int | str | None = 4
    layer_types: tuple[LayerType, ...] = layer_types(windows_by_pattern)
