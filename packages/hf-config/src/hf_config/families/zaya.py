from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, uniform
from hf_config.record import record
from hf_config.rope import RopeParameters, layered_rope


@record
class ZayaConfig(PreTrainedConfig):
    """Zaya: compressed convolutional attention and experts in every layer."""

    model_type: ClassVar[str] = "zaya"

    vocab_size: int = 262272
    hidden_size: int = 2048
    num_hidden_layers: int = 40
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = True
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        hybrid=RopeParameters(rope_theta=5000000.0, partial_rotary_factor=0.5),
        hybrid_sliding=RopeParameters(rope_theta=10000.0, partial_rotary_factor=0.5),
    )
    sliding_window: int | None = None
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 2048
    num_experts_per_tok: int = 1
    num_experts: int = 16
    output_router_logits: bool = False
    layer_types: tuple[LayerType, ...] = uniform("hybrid")
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 106
    head_dim: int = 128
    attention_bias: bool = False
    lm_head_bias: bool = False
    router_hidden_size: int = 256
    cca_time0: int = 2
    cca_time1: int = 2
