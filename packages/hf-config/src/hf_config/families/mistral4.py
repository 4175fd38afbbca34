from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


def _rotated_share(config: "Mistral4Config") -> float:
    return config.qk_rope_head_dim / (config.qk_nope_head_dim + config.qk_rope_head_dim)


@record
class Mistral4Config(PreTrainedConfig):
    """Mistral 4: latent attention, experts, and queries that grow with the position."""

    model_type: ClassVar[str] = "mistral4"

    vocab_size: int = 131072
    hidden_size: int = 4096
    intermediate_size: int = 12288
    moe_intermediate_size: int = 2048
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    n_shared_experts: int = 1
    n_routed_experts: int = 128
    output_router_logits: bool = False
    routed_scaling_factor: float = 1.0
    kv_lora_rank: int = 256
    q_lora_rank: int | None = 1024
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 64
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int = 4
    first_k_dense_replace: int = 0
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 1048576
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 11
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(
        partial=_rotated_share,
        default={
            "rope_type": "yarn",
            "factor": 128.0,
            "original_max_position_embeddings": 8192,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
        },
    )
    rope_interleave: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0
    head_dim: int = always(qk_head_dim)
    qk_head_dim: int = always(qk_head_dim)

    num_local_experts = Alias[int]("n_routed_experts")
