from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads, renamed
from hf_config.layers import LayerType, MlpType, dense_first, named_layers
from hf_config.record import Alias, Record, completed, derived, record
from hf_config.rope import RopeParameters

# The heads of windowed layers, in older files under the same names with "swa_" before them.
_WINDOWED: Mapping[str, int] = {
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "q_lora_rank": 1024,
    "kv_lora_rank": 1024,
    "head_dim": 256,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
_OLDER = {f"swa_{name}": name for name in _WINDOWED}


def _window(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
    return absorbed.get("sliding_window_size", 512) if given is None else given


def _kinds(config: "Dots3NoteTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    full: LayerType = "indexed_attention" if absorbed.get("use_dsa", True) else "full_attention"
    windows = absorbed.get("use_sliding_window", True)
    if given is None:
        return [
            full if not windows or index < 2 or index % 4 == 1 else "sliding_attention"
            for index in range(config.num_hidden_layers)
        ]
    listed = named_layers(given)
    if ("use_dsa" not in absorbed and "per_layer_config" in vars(config)["_given"]) or not isinstance(
        listed, tuple
    ):
        return listed
    return [kind if kind == "sliding_attention" else full for kind in listed]


def _windowed_heads(config: "Dots3NoteTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    if given is not None:
        return given
    heads = {**_WINDOWED, **{_OLDER[key]: value for key, value in absorbed.items()}}
    own = {name: value for name, value in heads.items() if value != vars(config)[name]}
    return {index: own for index, kind in enumerate(config.layer_types) if kind == "sliding_attention"}


def _rope(config: "Dots3NoteTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    if given is not None:
        return given
    thetas = {"sliding_attention": absorbed.get("swa_rope_theta", 50000.0)}
    layers = {}
    for kind in dict.fromkeys(config.layer_types):
        heads = config.per_layer_config.get(config.layer_types.index(kind), {})
        layers[kind] = {
            "rope_theta": thetas.get(kind, absorbed.get("rope_theta", 80000000.0)),
            "partial_rotary_factor": heads.get("qk_rope_head_dim", config.qk_rope_head_dim)
            / heads.get("head_dim", config.head_dim),
        }
    return layers


@record
class Dots3NoteTextConfig(PreTrainedConfig):
    """dots.note text: latent attention over picked keys or windows, each with its own heads."""

    model_type: ClassVar[str] = "dots3_note_text"

    vocab_size: int = 152064
    hidden_size: int = 5120
    intermediate_size: int = 13824
    moe_intermediate_size: int = 1536
    num_hidden_layers: int = 46
    num_attention_heads: int = 128
    num_key_value_heads: int = derived(kv_heads)
    n_shared_experts: int = 1
    n_routed_experts: int = 256
    output_router_logits: bool = False
    routed_scaling_factor: float = 1.0
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1024
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 524288
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 151659
    bos_token_id: int | None = 151643
    eos_token_id: int | tuple[int, ...] | None = 151668
    tie_word_embeddings: bool = False
    mlp_layer_types: tuple[MlpType, ...] = dense_first(
        1, key="first_k_dense_replace", step_key="moe_layer_freq"
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    index_topk: int = 2048
    index_head_dim: int = 128
    index_n_heads: int = 64
    mlp_bias: bool = False
    head_dim: int = 256
    layer_types: tuple[LayerType, ...] = completed(_kinds, absorbs=("use_dsa", "use_sliding_window"))
    sliding_window: int = completed(_window, absorbs=("sliding_window_size",))
    shared_experts_intermediate_size: int = renamed("moe_shared_expert_intermediate_size", 1536)
    per_layer_config: Mapping[int, Mapping[str, int]] = completed(_windowed_heads, absorbs=tuple(_OLDER))
    rope_parameters: Mapping[str, RopeParameters] = completed(_rope, absorbs=("rope_theta", "swa_rope_theta"))

    num_local_experts = Alias[int]("n_routed_experts")
