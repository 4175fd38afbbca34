from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto, time_step_rank
from hf_config.layers import LayerType, layer_types
from hf_config.record import Alias, derived, record


def _attention_width(config: "ZambaConfig") -> int:
    return 2 * config.hidden_size


def _attention_head(config: "ZambaConfig") -> int:
    return 2 * config.hidden_size // config.num_attention_heads


def _kinds(config: "ZambaConfig") -> list[LayerType]:
    kinds: list[LayerType] = [
        "hybrid" if index % config.attn_layer_period == config.attn_layer_offset else "linear_attention"
        for index in range(config.num_hidden_layers - 3)
    ]
    return ["linear_attention", "linear_attention", "hybrid", *kinds]


@record
class ZambaConfig(PreTrainedConfig):
    """Zamba: Mamba layers with one attention block used again and again."""

    model_type: ClassVar[str] = "zamba"

    vocab_size: int = 32000
    tie_word_embeddings: bool = True
    hidden_size: int = 3712
    attention_hidden_size: int = derived(_attention_width)
    intermediate_size: int = 14848
    num_hidden_layers: int = 76
    num_attention_heads: int = 16
    attention_head_dim: int = derived(_attention_head)
    num_key_value_heads: int = 16
    n_mamba_heads: int = 2
    hidden_act: Activation = "gelu"
    hidden_mamba_act: str = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    max_position_embeddings: int = 4096
    attention_dropout: float = 0.0
    attn_layer_period: int = 6
    attn_layer_offset: int = 4
    mamba_d_state: int = 16
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_dt_rank: int = auto(time_step_rank)
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 0.0001
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    layers_block_type: tuple[LayerType, ...] = layer_types(_kinds)

    layer_types = Alias[tuple[LayerType, ...]]("layers_block_type")
    head_dim = Alias[int]("attention_head_dim")
