from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import MlpType, dense_first
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class HYV3Config(PreTrainedConfig):
    """Hunyuan 3: bias-corrected experts and a shared one, after a dense first layer."""

    model_type: ClassVar[str] = "hy_v3"

    vocab_size: int = 120832
    hidden_size: int = 4096
    intermediate_size: int = 13312
    num_hidden_layers: int = 80
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.006
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    num_experts: int = 192
    num_experts_per_tok: int = 8
    num_shared_experts: int = 1
    moe_intermediate_size: int = 1536
    router_scaling_factor: float = 2.826
    enable_moe_fp32_combine: bool = True
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1)
    output_router_logits: bool = False
    rope_parameters: RopeParameters = rope(theta=11158840.0)

    num_local_experts = Alias[int]("num_experts")
