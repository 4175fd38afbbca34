from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, every
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Qwen3NextConfig(PreTrainedConfig):
    """Qwen3-Next: gated delta layers before each gated attention layer, and experts."""

    model_type: ClassVar[str] = "qwen3_next"

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    num_key_value_heads: int = 2
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(partial=0.25)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    head_dim: int = 256
    linear_conv_kernel_dim: int = 4
    linear_key_head_dim: int = 128
    linear_value_head_dim: int = 128
    linear_num_key_heads: int = 16
    linear_num_value_heads: int = 32
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 512
    shared_expert_intermediate_size: int = 512
    num_experts_per_tok: int = 10
    num_experts: int = 512
    norm_topk_prob: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: tuple[int, ...] = ()
    layer_types: tuple[LayerType, ...] = every(4, rest="linear_attention", key="full_attention_interval")
