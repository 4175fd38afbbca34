from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, layered_rope


@record
class MellumConfig(PreTrainedConfig):
    """Mellum: Qwen3-MoE with a rotation base for each layer type."""

    model_type: ClassVar[str] = "mellum"

    vocab_size: int = 98304
    hidden_size: int = 2304
    intermediate_size: int = 7168
    num_hidden_layers: int = 28
    num_attention_heads: int = 32
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        full_attention=RopeParameters(rope_theta=500000.0),
        sliding_attention=RopeParameters(rope_theta=10000.0),
    )
    attention_bias: bool = False
    sliding_window: int | None = 1024
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 896
    num_experts_per_tok: int = 8
    num_experts: int = 64
    norm_topk_prob: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    head_dim: int = 128
    layer_types: tuple[LayerType, ...] = uniform("full_attention")
    mlp_layer_types: tuple[MlpType, ...] = dense_first(0)
    num_nextn_predict_layers: int | None = None

    num_local_experts = Alias[int]("num_experts")
    num_mtp_layers = Alias[int | None]("num_nextn_predict_layers")
