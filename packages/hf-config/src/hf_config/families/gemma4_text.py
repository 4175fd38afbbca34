from collections.abc import Mapping
from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, full_layer_heads, six_with_full_last
from hf_config.layers import LayerType, layer_types
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, layered_rope


@record
class Gemma4TextConfig(PreTrainedConfig):
    """Gemma 4 text: per-layer embeddings, shared keys and values, and optional experts."""

    model_type: ClassVar[str] = "gemma4_text"

    vocab_size: int = 262144
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 30
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: Activation = "gelu_pytorch_tanh"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        sliding_attention=RopeParameters(rope_theta=10000.0),
        full_attention=RopeParameters(
            rope_type="proportional", rope_theta=1000000.0, partial_rotary_factor=0.25
        ),
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int = 512
    layer_types: tuple[LayerType, ...] = layer_types(six_with_full_last)
    final_logit_softcapping: float | None = None
    use_bidirectional_attention: Literal["all", "vision"] | None = None
    vocab_size_per_layer_input: int = 262144
    hidden_size_per_layer_input: int = 256
    attention_k_eq_v: bool = False
    num_kv_shared_layers: int = 0
    enable_moe_block: bool = False
    use_double_wide_mlp: bool = False
    num_experts: int | None = None
    top_k_experts: int | None = None
    moe_intermediate_size: int | None = None
    global_head_dim: int = 512
    num_global_key_value_heads: int | None = None
    per_layer_config: Mapping[int, Mapping[str, int]] = derived(full_layer_heads)
