from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, starting
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class CwmConfig(PreTrainedConfig):
    """Code World Model: Llama with three windowed layers after each full one."""

    model_type: ClassVar[str] = "cwm"

    vocab_size: int = 128256
    hidden_size: int = 6144
    intermediate_size: int = 21504
    num_hidden_layers: int = 64
    num_attention_heads: int = 48
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 128000
    eos_token_id: int | tuple[int, ...] | None = (128001, 128008, 128009)
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(
        theta=1000000.0,
        default={
            "rope_type": "llama3",
            "factor": 16.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int = 128
    sliding_window: int | None = 8192
    layer_types: tuple[LayerType, ...] = starting(4)
