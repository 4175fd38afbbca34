from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.layers import LayerType, every
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class AfmoeConfig(PreTrainedConfig):
    """Arcee AFMoE: gated attention, norms around each part and bias-corrected experts."""

    model_type: ClassVar[str] = "afmoe"

    vocab_size: int = 200192
    hidden_size: int = 2048
    intermediate_size: int = 6144
    moe_intermediate_size: int = 1408
    num_hidden_layers: int = 32
    num_dense_layers: int = 1
    num_attention_heads: int = 16
    num_key_value_heads: int = derived(kv_heads)
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 16384
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    num_experts: int = 64
    num_experts_per_tok: int = 6
    num_shared_experts: int = 2
    route_scale: float = 1.0
    output_router_logits: bool = False
    global_attn_every_n_layers: int = 4
    sliding_window: int | None = 1024
    layer_types: tuple[LayerType, ...] = every(4, key="global_attn_every_n_layers")
    attention_dropout: float = 0.0
    mup_enabled: bool = False
    attention_bias: bool = False
