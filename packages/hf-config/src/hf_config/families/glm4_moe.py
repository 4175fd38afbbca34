from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class Glm4MoeConfig(PreTrainedConfig):
    """GLM-4.5: bias-corrected experts after dense layers, half-rotated heads."""

    model_type: ClassVar[str] = "glm4_moe"

    vocab_size: int = 151552
    hidden_size: int = 4096
    intermediate_size: int = 10944
    num_hidden_layers: int = 46
    num_attention_heads: int = 96
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(partial=0.5)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 1408
    num_experts_per_tok: int = 8
    output_router_logits: bool = False
    n_shared_experts: int = 1
    n_routed_experts: int = 128
    routed_scaling_factor: float = 1.0
    n_group: int = 1
    topk_group: int = 1
    first_k_dense_replace: int = 1
    norm_topk_prob: bool = True
    use_qk_norm: bool = False
    num_nextn_predict_layers: int = 1

    num_local_experts = Alias[int]("n_routed_experts")
    num_mtp_layers = Alias[int]("num_nextn_predict_layers")
