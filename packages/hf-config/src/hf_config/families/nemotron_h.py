import math
from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.errors import InconsistentFieldsError
from hf_config.layers import LayerType, named_layers
from hf_config.record import Alias, completed, record

_LETTERS: Mapping[str, LayerType] = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}


def _listed(given: object, pattern: object, default: tuple[LayerType, ...]) -> object:
    if given is not None:
        return named_layers(given)
    return [_LETTERS.get(letter, letter) for letter in pattern] if isinstance(pattern, str) else default


def _kinds(config: "NemotronHConfig", given: object, absorbed: Mapping[str, object]) -> object:
    default: tuple[LayerType, ...] = ("linear_attention", "moe", "full_attention", "mlp")
    return _listed(given, absorbed.get("hybrid_override_pattern"), default)


def _mtp_kinds(config: "NemotronHConfig", given: object, absorbed: Mapping[str, object]) -> object:
    return _listed(given, absorbed.get("mtp_hybrid_override_pattern"), ("full_attention", "moe"))


def _count(config: "NemotronHConfig", given: object, absorbed: Mapping[str, object]) -> object:
    layers = len(config.layers_block_type)
    if given not in (None, layers):
        raise InconsistentFieldsError(
            f"NemotronHConfig: num_hidden_layers is {given!r} and layers_block_type lists {layers} layers",
            fields=("num_hidden_layers", "layers_block_type"),
            fix="list one kind for each layer, or leave num_hidden_layers out",
        )
    return layers


@record
class NemotronHConfig(PreTrainedConfig):
    """Nemotron-H: layers of one part each: Mamba 2, attention, MLP or experts."""

    model_type: ClassVar[str] = "nemotron_h"

    vocab_size: int = 131072
    hidden_size: int = 4096
    layers_block_type: tuple[LayerType, ...] = completed(_kinds, absorbs=("hybrid_override_pattern",))
    tie_word_embeddings: bool = False
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = 128
    max_position_embeddings: int = 4096
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int | None = None
    intermediate_size: int = 21504
    mlp_hidden_act: Activation = "relu2"
    mlp_bias: bool = False
    ssm_state_size: int = 128
    mamba_num_heads: int = 128
    mamba_head_dim: int = 64
    mamba_hidden_act: Activation = "silu"
    n_groups: int = 8
    conv_kernel: int = 4
    expand: int = 2
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_limit: tuple[float, float] = (0.0, math.inf)
    time_step_floor: float = 0.0001
    use_conv_bias: bool = True
    chunk_size: int = 128
    mamba_proj_bias: bool = False
    mamba_ssm_cache_dtype: str = "float32"
    n_routed_experts: int = 8
    output_router_logits: bool = False
    n_shared_experts: int = 1
    moe_intermediate_size: int = 7688
    moe_shared_expert_intermediate_size: int = 7688
    moe_latent_size: int | None = None
    moe_shared_expert_overlap: bool = True
    num_experts_per_tok: int = 2
    routed_scaling_factor: float = 1.0
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    num_nextn_predict_layers: int = 0
    mtp_layers_block_type: tuple[LayerType, ...] = completed(
        _mtp_kinds, absorbs=("mtp_hybrid_override_pattern",)
    )
    use_bias: bool = False
    initializer_range: float = 0.02
    layer_norm_epsilon: float = 1e-05
    residual_in_fp32: bool = False
    hidden_dropout: float = 0.0
    rescale_prenorm_residual: bool = True
    num_hidden_layers: int = completed(_count, restarts=("layers_block_type", "layer_types"))

    layer_types = Alias[tuple[LayerType, ...]]("layers_block_type")
    num_local_experts = Alias[int]("n_routed_experts")
    mamba_n_groups = Alias[int]("n_groups")
    mamba_d_conv = Alias[int]("conv_kernel")
    mamba_expand = Alias[int]("expand")
    mamba_dt_min = Alias[float]("time_step_min")
    mamba_dt_max = Alias[float]("time_step_max")
    mamba_dt_limit = Alias[tuple[float, float]]("time_step_limit")
    mamba_dt_init_floor = Alias[float]("time_step_floor")
    mamba_conv_bias = Alias[bool]("use_conv_bias")
    mamba_chunk_size = Alias[int]("chunk_size")
