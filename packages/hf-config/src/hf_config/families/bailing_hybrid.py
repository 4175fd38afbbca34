from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, kv_heads, qk_head_dim, rotated_dim
from hf_config.layers import LayerType, MlpType, dense_first, every
from hf_config.record import Alias, completed, derived, record
from hf_config.rope import RopeParameters, rope


def _linear_head_dim(config: "BailingHybridConfig", given: object, absorbed: Mapping[str, object]) -> object:
    # The released files give this size as head_dim, which in a saved file is the rotated part.
    return absorbed.get("head_dim", 128) if given is None else given


def _kernel(config: "BailingHybridConfig") -> int:
    return config.short_conv_kernel_size


@record
class BailingHybridConfig(PreTrainedConfig):
    """Ling 2.5 hybrid: delta layers with a decay for each channel before each latent attention layer."""

    model_type: ClassVar[str] = "bailing_hybrid"

    vocab_size: int = 157184
    hidden_size: int = 2560
    intermediate_size: int = 6144
    moe_intermediate_size: int = 768
    num_hidden_layers: int = 42
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    n_shared_experts: int = 1
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.5
    kv_lora_rank: int = 512
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    n_group: int = 8
    topk_group: int = 4
    num_experts_per_tok: int = 8
    first_k_dense_replace: int = 2
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 262144
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 156892
    eos_token_id: int | tuple[int, ...] | None = 156895
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(theta=6000000.0)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    num_nextn_predict_layers: int = 1
    num_local_experts: int = 512
    short_conv_kernel_size: int = 4
    layer_group_size: int = 6
    kda_safe_gate: bool = True
    kda_lower_bound: float = -5.0
    layer_types: tuple[LayerType, ...] = every(6, rest="linear_attention", key="layer_group_size")
    mlp_layer_types: tuple[MlpType, ...] = dense_first(2, key="first_k_dense_replace")
    mtp_loss_scaling_factor: float = 0.0
    linear_head_dim: int = completed(_linear_head_dim, absorbs=("head_dim",))
    linear_num_heads: int = derived(kv_heads)
    linear_conv_kernel_dim: int = derived(_kernel)
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    model_max_length = Alias[int]("max_position_embeddings")
    moe_renormalize = Alias[bool]("norm_topk_prob")
    num_expert_group = Alias[int]("n_group")
    num_experts = Alias[int]("num_local_experts")
    num_experts_per_token = Alias[int]("num_experts_per_tok")
    num_shared_experts = Alias[int]("n_shared_experts")
    num_mtp_layers = Alias[int]("num_nextn_predict_layers")
