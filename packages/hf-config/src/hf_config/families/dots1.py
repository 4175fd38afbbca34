from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, late_windows
from hf_config.layers import LayerType, layer_types
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class Dots1Config(PreTrainedConfig):
    """dots.llm1: bias-corrected experts, normalised heads, a window on late layers."""

    model_type: ClassVar[str] = "dots1"

    vocab_size: int = 152064
    hidden_size: int = 4608
    intermediate_size: int = 10944
    moe_intermediate_size: int = 1408
    num_hidden_layers: int = 62
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    n_shared_experts: int | None = None
    n_routed_experts: int | None = None
    output_router_logits: bool = False
    n_group: int = 1
    topk_group: int = 1
    num_experts_per_tok: int | None = None
    first_k_dense_replace: int = 0
    norm_topk_prob: bool = False
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    routed_scaling_factor: float = 1.0
    sliding_window: int | None = 4096
    max_window_layers: int = 62
    layer_types: tuple[LayerType, ...] = layer_types(late_windows)

    num_local_experts = Alias[int | None]("n_routed_experts")
