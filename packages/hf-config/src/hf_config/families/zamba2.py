from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, head_dim, kv_heads
from hf_config.layers import LayerType, layer_types
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


def _mlp_width(config: "Zamba2Config") -> int:
    return 4 * config.hidden_size


def _attention_width(config: "Zamba2Config") -> int:
    return 2 * config.hidden_size


def _attention_head(config: "Zamba2Config") -> int:
    return 2 * config.hidden_size // config.num_attention_heads


def _state_head(config: "Zamba2Config") -> int:
    return int(config.mamba_expand * config.hidden_size) // config.n_mamba_heads


def _hybrids(config: "Zamba2Config") -> tuple[int, ...]:
    return tuple(index for index, kind in enumerate(config.layers_block_type) if kind == "hybrid")


def _kinds(config: "Zamba2Config") -> list[LayerType]:
    # The released 54 layers: hybrid after every fifth Mamba layer, then closer together at the end.
    hybrids = {*range(6, 43, 6), 47, 51}
    return ["hybrid" if index in hybrids else "linear_attention" for index in range(config.num_hidden_layers)]


@record
class Zamba2Config(PreTrainedConfig):
    """Zamba 2: Mamba 2 layers with shared attention blocks and adapters."""

    model_type: ClassVar[str] = "zamba2"

    vocab_size: int = 32000
    max_position_embeddings: int = 4096
    hidden_size: int = 2560
    num_hidden_layers: int = 54
    layers_block_type: tuple[LayerType, ...] = layer_types(_kinds)
    mamba_d_state: int = 64
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_ngroups: int = 1
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 0.0001
    n_mamba_heads: int = 8
    use_conv_bias: bool = True
    chunk_size: int = 256
    use_mem_eff_path: bool = False
    add_bias_linear: bool = False
    intermediate_size: int = derived(_mlp_width)
    hidden_act: Activation = "gelu"
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    attention_dropout: float = 0.0
    num_mem_blocks: int = 1
    use_shared_attention_adapter: bool = False
    adapter_rank: int = 128
    use_mem_rope: bool = False
    rope_parameters: RopeParameters = rope()
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    use_long_context: bool = False
    tie_word_embeddings: bool = True
    attention_hidden_size: int = always(_attention_width)
    attention_head_dim: int = always(_attention_head)
    mamba_headdim: int = always(_state_head)
    kv_channels: int = always(head_dim)
    num_query_groups: int = always(kv_heads)
    hybrid_layer_ids: tuple[int, ...] = always(_hybrids)

    layer_types = Alias[tuple[LayerType, ...]]("layers_block_type")
    head_dim = Alias[int]("attention_head_dim")
