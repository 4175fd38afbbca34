from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, kv_heads, qk_head_dim, rotated_dim
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


def _indexers(config: "HYV4Config") -> tuple[Literal["full", "shared"], ...]:
    return tuple(
        "full" if index == 0 or (index - 1) % 4 == 0 else "shared"
        for index in range(config.num_hidden_layers)
    )


@record
class HYV4Config(PreTrainedConfig):
    """Hunyuan 4: latent attention over picked keys, hyper-connections and clamped experts."""

    model_type: ClassVar[str] = "hy_v4"

    vocab_size: int = 120832
    hidden_size: int = 2816
    intermediate_size: int = 6912
    moe_intermediate_size: int = 768
    num_hidden_layers: int = 34
    num_attention_heads: int = 32
    num_key_value_heads: int = always(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 262144
    initializer_range: float = 0.006
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 120002
    bos_token_id: int | None = 120000
    eos_token_id: int | tuple[int, ...] | None = 120025
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    attention_dropout: float = 0.0
    n_routed_experts: int = 256
    output_router_logits: bool = False
    n_shared_experts: int = 1
    num_experts_per_tok: int = 8
    routed_scaling_factor: float = 2.827
    norm_topk_prob: bool = True
    n_group: int = 1
    topk_group: int = 1
    q_lora_rank: int = 1536
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 192
    qk_rope_head_dim: int = 64
    v_head_dim: int = 256
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1)
    layer_types: tuple[LayerType, ...] = uniform("indexed_attention")
    index_topk: int = 2048
    index_head_dim: int = 128
    index_n_heads: int = 16
    indexer_types: tuple[Literal["full", "shared"], ...] = derived(_indexers)
    hc_mult: int = 4
    hc_magnitude: float = 2.0
    hc_eps: float = 1e-06
    learnable_sink_init: float = 0.0
    swiglu_limit: float = 10.0
    rope_parameters: RopeParameters = rope()
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_local_experts = Alias[int]("n_routed_experts")
