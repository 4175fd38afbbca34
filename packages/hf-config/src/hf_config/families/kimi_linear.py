from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.layers import LayerType, MlpType, dense_first
from hf_config.record import Alias, Record, completed, record


def _linear(older: str, default: int) -> int:
    """A field that older files keep as `older` in their `linear_attn_config`."""

    def complete(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
        settings = absorbed.get("linear_attn_config")
        found = settings.get(older) if isinstance(settings, Mapping) else None
        return found if found is not None else default if given is None else given

    value: int = completed(complete, absorbs=("linear_attn_config",))
    return value


def _kinds(config: "KimiLinearConfig", given: object, absorbed: Mapping[str, object]) -> object:
    settings = absorbed.get("linear_attn_config")
    full = settings.get("full_attn_layers") if isinstance(settings, Mapping) else None
    if given is not None:
        return given
    # The older lists count layers from one.
    chosen = (
        {layer - 1 for layer in full}
        if isinstance(full, list)
        else set(range(4, config.num_hidden_layers, 4))
    )
    return [
        "full_attention" if index in chosen else "linear_attention"
        for index in range(config.num_hidden_layers)
    ]


@record
class KimiLinearConfig(PreTrainedConfig):
    """Kimi Linear: delta layers with a decay for each channel, latent attention without positions."""

    model_type: ClassVar[str] = "kimi_linear"

    vocab_size: int = 163840
    hidden_size: int = 2304
    intermediate_size: int = 9216
    moe_intermediate_size: int = 1024
    num_hidden_layers: int = 27
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    n_shared_experts: int = 1
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.446
    kv_lora_rank: int = 512
    q_lora_rank: int | None = None
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 1048576
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 163839
    bos_token_id: int | None = 163584
    eos_token_id: int | tuple[int, ...] | None = 163586
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    attention_dropout: float = 0.0
    num_local_experts: int = 256
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1, key="first_k_dense_replace")
    layer_types: tuple[LayerType, ...] = completed(_kinds, absorbs=("linear_attn_config",))
    linear_head_dim: int = _linear("head_dim", 128)
    linear_num_heads: int = _linear("num_heads", 32)
    linear_conv_kernel_dim: int = _linear("short_conv_kernel_size", 4)
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    model_max_length = Alias[int]("max_position_embeddings")
    moe_renormalize = Alias[bool]("norm_topk_prob")
    num_expert_group = Alias[int]("n_group")
    num_experts = Alias[int]("num_local_experts")
    num_experts_per_token = Alias[int]("num_experts_per_tok")
    num_shared_experts = Alias[int]("n_shared_experts")
