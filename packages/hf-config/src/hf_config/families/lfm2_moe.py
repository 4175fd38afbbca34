from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import renamed
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _kinds(config: "Lfm2MoeConfig") -> list[LayerType]:
    # Released files list the kinds; without a list every layer attends.
    return ["full_attention"] * config.num_hidden_layers


@record
class Lfm2MoeConfig(PreTrainedConfig):
    """LFM2-MoE: LFM2 with bias-corrected experts after dense layers."""

    model_type: ClassVar[str] = "lfm2_moe"

    vocab_size: int = 65536
    hidden_size: int = 2048
    intermediate_size: int = 7168
    moe_intermediate_size: int = 1792
    num_hidden_layers: int = 32
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = renamed("tie_embedding", True)
    rope_parameters: RopeParameters = rope(theta=1000000.0)
    max_position_embeddings: int = 128000
    initializer_range: float = 0.02
    norm_eps: float = 1e-05
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    conv_bias: bool = False
    conv_L_cache: int = 3
    num_dense_layers: int = 2
    num_experts_per_tok: int = 4
    output_router_logits: bool = False
    num_experts: int = 32
    use_expert_bias: bool = True
    routed_scaling_factor: float = 1.0
    norm_topk_prob: bool = True
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
