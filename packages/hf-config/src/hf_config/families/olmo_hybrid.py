from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.layers import LayerType, layer_types
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _kinds(config: "OlmoHybridConfig") -> list[LayerType]:
    last = config.num_hidden_layers - 1
    return [
        "full_attention" if index % 4 == 3 or index == last < 3 else "linear_attention"
        for index in range(config.num_hidden_layers)
    ]


def _key_dim(config: "OlmoHybridConfig") -> int:
    return int(0.75 * config.hidden_size / config.linear_num_key_heads)


def _value_dim(config: "OlmoHybridConfig") -> int:
    return 2 * config.linear_key_head_dim


@record
class OlmoHybridConfig(PreTrainedConfig):
    """OLMo Hybrid: gated delta layers before each attention layer."""

    model_type: ClassVar[str] = "olmo_hybrid"

    vocab_size: int = 100352
    hidden_size: int = 3840
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 30
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 65536
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 100277
    eos_token_id: int | tuple[int, ...] | None = 100257
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    linear_num_key_heads: int = derived(kv_heads)
    linear_num_value_heads: int = derived(kv_heads)
    linear_key_head_dim: int = derived(_key_dim)
    linear_value_head_dim: int = derived(_value_dim)
    linear_a_log_min: float = 0.0
    linear_a_log_max: float = 16.0
    linear_dt_min: float = 0.001
    linear_dt_max: float = 0.1
    linear_dt_init_floor: float = 0.0001
    linear_conv_kernel_dim: int = 4
    linear_allow_neg_eigval: bool = True
