from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, kv_heads, qk_head_dim, rotated_dim
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


@record
class DeepseekV2Config(PreTrainedConfig):
    """DeepSeek-V2: latent attention, and experts chosen within groups."""

    model_type: ClassVar[str] = "deepseek_v2"

    vocab_size: int = 102400
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    first_k_dense_replace: int = 0
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    n_group: int | None = None
    n_routed_experts: int = 64
    output_router_logits: bool = False
    n_shared_experts: int = 2
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    routed_scaling_factor: float = 1.0
    topk_group: int | None = None
    topk_method: Literal["greedy", "group_limited_greedy", "noaux_tc"] = "greedy"
    norm_topk_prob: bool = False
    v_head_dim: int = 128
    num_experts_per_tok: int | None = None
    moe_intermediate_size: int = 1407
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_experts = Alias[int]("n_routed_experts")
