from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim
from hf_config.layers import MlpType, dense_first
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class Glm4MoeLiteConfig(PreTrainedConfig):
    """GLM-4.7 Flash: latent attention and bias-corrected experts after a dense layer."""

    model_type: ClassVar[str] = "glm4_moe_lite"

    vocab_size: int = 154880
    hidden_size: int = 2048
    intermediate_size: int = 10240
    moe_intermediate_size: int = 1536
    num_hidden_layers: int = 47
    num_attention_heads: int = 20
    num_key_value_heads: int = 20
    n_shared_experts: int = 1
    n_routed_experts: int = 64
    output_router_logits: bool = False
    routed_scaling_factor: float = 1.8
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 768
    qk_rope_head_dim: int = 64
    v_head_dim: int = 256
    qk_nope_head_dim: int = 192
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int = 4
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 202752
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    rope_interleave: bool = True
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    qk_head_dim: int = always(qk_head_dim)

    num_local_experts = Alias[int]("n_routed_experts")
    head_dim = Alias[int]("qk_rope_head_dim")
