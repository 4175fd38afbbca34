from collections.abc import Mapping
from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.errors import InvalidFieldError
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import Alias, completed, record
from hf_config.rope import RopeParameters, rope


def _indexers(config: "GlmMoeDsaConfig", given: object, absorbed: Mapping[str, object]) -> object:
    pattern = absorbed.get("index_topk_pattern")
    if given is not None or pattern is not None:
        names = {"F": "full", "S": "shared"}
        return (
            given
            if given is not None
            else [names[kind] for kind in pattern]
            if isinstance(pattern, str)
            else pattern
        )
    period, skipped = absorbed.get("index_topk_freq", 1), absorbed.get("index_skip_topk_offset", 2)
    if not isinstance(period, int) or not isinstance(skipped, int):
        raise InvalidFieldError("GlmMoeDsaConfig", "index_topk_freq", (period, skipped), "numbers of layers")
    return [
        "shared" if max(index - skipped + 1, 0) % max(period, 1) else "full"
        for index in range(config.num_hidden_layers)
    ]


@record
class GlmMoeDsaConfig(PreTrainedConfig):
    """GLM-5: latent attention over picked keys, the pick shared by some layers."""

    model_type: ClassVar[str] = "glm_moe_dsa"

    vocab_size: int = 154880
    hidden_size: int = 6144
    intermediate_size: int = 12288
    moe_intermediate_size: int = 2048
    num_hidden_layers: int = 78
    num_attention_heads: int = 64
    num_key_value_heads: int = 64
    n_shared_experts: int = 1
    n_routed_experts: int = 256
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.5
    kv_lora_rank: int = 512
    q_lora_rank: int = 2048
    qk_rope_head_dim: int = 64
    v_head_dim: int = 256
    qk_nope_head_dim: int = 192
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 202752
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    mlp_layer_types: tuple[MlpType, ...] = dense_first(3, key="first_k_dense_replace")
    attention_bias: bool = False
    attention_dropout: float = 0.0
    index_topk: int = 2048
    index_head_dim: int = 128
    index_n_heads: int = 32
    mlp_bias: bool = False
    first_k_dense_replace: int = 3
    layer_types: tuple[LayerType, ...] = uniform("indexed_attention")
    indexer_types: tuple[Literal["full", "shared"], ...] = completed(
        _indexers, absorbs=("index_topk_pattern", "index_topk_freq", "index_skip_topk_offset")
    )
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_local_experts = Alias[int]("n_routed_experts")
    num_experts = Alias[int]("n_routed_experts")
