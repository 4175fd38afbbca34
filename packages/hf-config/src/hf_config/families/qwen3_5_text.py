from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, every
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class Qwen3_5TextConfig(PreTrainedConfig):
    """Qwen3.5 text: gated delta layers before each gated attention layer."""

    model_type: ClassVar[str] = "qwen3_5_text"

    vocab_size: int = 248320
    hidden_size: int = 4096
    intermediate_size: int = 12288
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
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
    layer_types: tuple[LayerType, ...] = every(4, rest="linear_attention", key="full_attention_interval")
