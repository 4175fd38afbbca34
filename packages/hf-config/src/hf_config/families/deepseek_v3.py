from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class DeepseekV3Config(PreTrainedConfig):
    """DeepSeek-V3: latent attention and bias-corrected experts in groups."""

    model_type: ClassVar[str] = "deepseek_v3"

    vocab_size: int = 129280
    hidden_size: int = 7168
    intermediate_size: int = 18432
    moe_intermediate_size: int = 2048
    num_hidden_layers: int = 61
    num_attention_heads: int = 128
    num_key_value_heads: int = 128
    n_shared_experts: int = 1
    n_routed_experts: int = 256
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.5
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    n_group: int = 8
    topk_group: int = 4
    num_experts_per_tok: int = 8
    first_k_dense_replace: int = 3
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    rope_interleave: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0
    num_nextn_predict_layers: int = 1
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_local_experts = Alias[int]("n_routed_experts")
    num_mtp_layers = Alias[int]("num_nextn_predict_layers")
