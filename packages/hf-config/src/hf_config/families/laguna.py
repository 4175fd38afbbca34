from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, layered_rope
from hf_hub_io.jsonio import JsonValue


def _heads(config: "LagunaConfig") -> tuple[int, ...]:
    return (config.num_attention_heads,) * config.num_hidden_layers


@record
class LagunaConfig(PreTrainedConfig):
    """Laguna: experts, gated attention, and a number of heads for each layer."""

    model_type: ClassVar[str] = "laguna"
    UNIMPLEMENTED: ClassVar[Mapping[str, JsonValue]] = {"moe_apply_router_weight_on_input": False}

    vocab_size: int = 100352
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_hidden_layers: int = 40
    num_attention_heads: int = 48
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        full_attention=RopeParameters(rope_theta=500000.0, partial_rotary_factor=0.5),
        sliding_attention=RopeParameters(rope_theta=10000.0, partial_rotary_factor=1.0),
    )
    sliding_window: int = 512
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 512
    shared_expert_intermediate_size: int = 512
    num_experts_per_tok: int = 8
    num_experts: int = 256
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    layer_types: tuple[LayerType, ...] = uniform("full_attention")
    head_dim: int = 128
    attention_bias: bool = False
    gating: bool | str = True
    num_attention_heads_per_layer: tuple[int, ...] = derived(_heads)
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1)
    moe_routed_scaling_factor: float = 1.0
    moe_router_logit_softcapping: float = 0.0
