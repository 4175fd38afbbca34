from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, MlpType, dense_first, layer_types
from hf_config.record import Alias, Record, completed, record
from hf_config.rope import RopeParameters, layered_rope


def _window(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
    # The older key counts the earlier tokens only, the newer one the token itself as well.
    older = absorbed.get("sliding_window_size")
    return older + 1 if isinstance(older, int) else 129 if given is None else given


def _kinds(config: "MiMoV2FlashConfig") -> list[LayerType]:
    return [
        "full_attention" if index == 0 or (index + 1) % 6 == 0 else "sliding_attention"
        for index in range(config.num_hidden_layers)
    ]


@record
class MiMoV2FlashConfig(PreTrainedConfig):
    """MiMo V2 Flash: experts, sinks on windowed layers, values narrower than keys."""

    model_type: ClassVar[str] = "mimo_v2_flash"

    vocab_size: int = 152576
    hidden_size: int = 4096
    intermediate_size: int = 16384
    num_hidden_layers: int = 48
    num_attention_heads: int = 64
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        full_attention=RopeParameters(rope_theta=5000000.0, partial_rotary_factor=0.334),
        sliding_attention=RopeParameters(rope_theta=10000.0, partial_rotary_factor=0.334),
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 2048
    num_experts_per_tok: int = 8
    output_router_logits: bool = False
    n_routed_experts: int = 256
    routed_scaling_factor: float = 1.0
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    bos_token_id: int | None = 1
    head_dim: int = 192
    v_head_dim: int = 128
    sliding_window: int = completed(_window, absorbs=("sliding_window_size",))
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1)
    attention_value_scale: float | None = 0.707

    num_local_experts = Alias[int]("n_routed_experts")
