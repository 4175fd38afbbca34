from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class SolarOpenConfig(PreTrainedConfig):
    """Solar Open: bias-corrected experts in every layer."""

    model_type: ClassVar[str] = "solar_open"

    vocab_size: int = 196608
    hidden_size: int = 4096
    num_hidden_layers: int = 48
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(theta=1000000.0)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 1280
    num_experts_per_tok: int = 8
    output_router_logits: bool = False
    n_shared_experts: int = 1
    n_routed_experts: int = 128
    routed_scaling_factor: float = 1.0
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    head_dim: int = 128

    num_local_experts = Alias[int]("n_routed_experts")
