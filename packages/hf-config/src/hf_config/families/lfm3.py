from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.layers import LayerType, layer_types
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, layered_rope


def _kinds(config: "Lfm3Config") -> list[LayerType]:
    group: tuple[LayerType, ...] = ("sliding_attention", "conv", "full_attention", "conv")
    kinds = [group[index % 4] for index in range(config.num_hidden_layers)]
    return ["conv", *kinds[1:]]


@record
class Lfm3Config(PreTrainedConfig):
    """LFM3: gated short convolutions, gated attention, windows, norms around each part."""

    model_type: ClassVar[str] = "lfm3"

    vocab_size: int = 128000
    hidden_size: int = 2048
    intermediate_size: int = 7680
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    max_position_embeddings: int = 128000
    initializer_range: float = 0.02
    norm_eps: float = 1e-05
    pad_token_id: int | None = 124893
    bos_token_id: int | None = 124894
    eos_token_id: int | tuple[int, ...] | None = 124900
    tie_word_embeddings: bool = True
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        sliding_attention=RopeParameters(rope_theta=10000.0),
        full_attention=RopeParameters(
            rope_type="proportional", rope_theta=1000000.0, partial_rotary_factor=0.5
        ),
    )
    conv_bias: bool = False
    conv_L_cache: int = 7
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    head_dim: int = 128
    sliding_window: int | None = 256
    use_sandwich_norm: bool = True
    use_attention_gate: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0

    rms_norm_eps = Alias[float]("norm_eps")
