from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always
from hf_config.layers import LayerType, MlpType
from hf_config.record import Alias, Record, completed, record
from hf_config.rope import RopeParameters, rope


def _sparse(older: str, default: int) -> int:
    """A field that older files keep as `older` in their `sparse_attention_config`."""

    def complete(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
        settings = absorbed.get("sparse_attention_config")
        found = settings.get(older) if isinstance(settings, Mapping) else None
        return found if found is not None else default if given is None else given

    value: int = completed(complete, absorbs=("sparse_attention_config",))
    return value


def _kinds(config: "MiniMaxM3VLTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    settings = absorbed.get("sparse_attention_config")
    flags = settings.get("sparse_attention_freq") if isinstance(settings, Mapping) else None
    if given is not None or not isinstance(flags, list):
        return given or ["full_attention"] * config.num_hidden_layers
    return ["minimax_m3_sparse" if flag else "full_attention" for flag in flags]


def _mlp_kinds(config: "MiniMaxM3VLTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    flags = absorbed.get("moe_layer_freq")
    if given is not None or not isinstance(flags, list):
        return given or ["sparse"] * config.num_hidden_layers
    return ["sparse" if flag else "dense" for flag in flags]


def _activation(config: Record) -> Activation:
    # The files name the clamped gate, whose limits are fields of their own.
    return "silu"


@record
class MiniMaxM3VLTextConfig(PreTrainedConfig):
    """MiniMax M3 text: partly rotated heads, clamped experts, and keys picked by blocks."""

    model_type: ClassVar[str] = "minimax_m3_vl_text"

    vocab_size: int = 200064
    hidden_size: int = 6144
    intermediate_size: int = 3072
    num_hidden_layers: int = 60
    num_attention_heads: int = 64
    num_key_value_heads: int = 4
    head_dim: int = 128
    hidden_act: Activation = always(_activation)
    max_position_embeddings: int = 524288
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 200034
    eos_token_id: int | tuple[int, ...] | None = 200020
    tie_word_embeddings: bool = False
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 4
    num_local_experts: int = 128
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_parameters: RopeParameters = rope(theta=5000000.0)
    dense_intermediate_size: int = 12288
    shared_intermediate_size: int = 3072
    routed_scaling_factor: float = 2.0
    rotary_dim: int = 64
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    mlp_layer_types: tuple[MlpType, ...] = completed(_mlp_kinds, absorbs=("moe_layer_freq",))
    index_n_heads: int = _sparse("sparse_num_index_heads", 4)
    index_head_dim: int = _sparse("sparse_index_dim", 128)
    index_block_size: int = _sparse("sparse_block_size", 128)
    index_topk_blocks: int = _sparse("sparse_topk_blocks", 16)
    index_local_blocks: int = _sparse("sparse_local_block", 1)
    layer_types: tuple[LayerType, ...] = completed(_kinds, absorbs=("sparse_attention_config",))

    num_experts = Alias[int]("num_local_experts")
