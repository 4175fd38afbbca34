from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, MlpType, dense_first, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, layered_rope


def _kinds(config: "BeamConfig") -> list[LayerType]:
    kinds: list[LayerType] = [
        "sliding_attention" if (index + 1) % 6 else "full_attention"
        for index in range(config.num_hidden_layers)
    ]
    return [*kinds[:-1], "full_attention"]


@record
class BeamConfig(PreTrainedConfig):
    """Beam: gated attention, depth-weighted residuals and experts after the first layers."""

    model_type: ClassVar[str] = "beam"

    vocab_size: int = 151936
    hidden_size: int = 5120
    intermediate_size: int = 20480
    num_hidden_layers: int = 52
    num_attention_heads: int = 48
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: Mapping[str, RopeParameters | None] = layered_rope(
        sliding_attention=RopeParameters(), full_attention=None
    )
    attention_bias: bool = False
    sliding_window: int | None = 512
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 2560
    num_experts_per_tok: int = 8
    num_experts: int = 256
    norm_topk_prob: bool = True
    output_router_logits: bool = False
    head_dim: int = 128
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    mlp_layer_types: tuple[MlpType, ...] = dense_first(3)
    n_group: int = 8
    topk_group: int = 4
    routed_scaling_factor: float = 2.5
    final_logit_softcapping: float | None = 30.0
