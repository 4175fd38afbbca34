from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, one_theta
from hf_config.layers import LayerType, starting
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class GraniteSWAConfig(PreTrainedConfig):
    """Granite with windows, attention sinks and a rotation base for each layer."""

    model_type: ClassVar[str] = "granite_swa"

    vocab_size: int = 100352
    hidden_size: int = 2560
    intermediate_size: int = 8192
    num_hidden_layers: int = 24
    num_attention_heads: int = 20
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 100257
    eos_token_id: int | tuple[int, ...] | None = 100257
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    sliding_window: int | None = 128
    layer_types: tuple[LayerType, ...] = starting(4)
    layer_rope_theta: tuple[float, ...] = derived(one_theta)
