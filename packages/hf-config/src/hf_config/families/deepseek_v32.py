from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class DeepseekV32Config(PreTrainedConfig):
    """DeepSeek-V3.2: DeepSeek-V3 whose layers attend to keys that an indexer picks."""

    model_type: ClassVar[str] = "deepseek_v32"

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
    q_lora_rank: int = 1536
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    n_group: int = 8
    topk_group: int = 4
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 163840
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    mlp_layer_types: tuple[MlpType, ...] = dense_first(3, key="first_k_dense_replace")
    attention_bias: bool = False
    attention_dropout: float = 0.0
    index_topk: int = 2048
    index_head_dim: int = 128
    index_n_heads: int = 64
    mlp_bias: bool = False
    first_k_dense_replace: int = 3
    layer_types: tuple[LayerType, ...] = uniform("indexed_attention")
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_local_experts = Alias[int]("n_routed_experts")
    num_experts = Alias[int]("n_routed_experts")
