from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.layers import LayerType, every
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, layered_rope


@record
class Olmo3Config(PreTrainedConfig):
    """OLMo 3: OLMo 2 with three windowed layers before each full one."""

    model_type: ClassVar[str] = "olmo3"

    vocab_size: int = 50304
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    pad_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 50279
    tie_word_embeddings: bool = False
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        theta_keys={"full_attention": "rope_theta", "sliding_attention": "rope_theta"},
        scaled=("full_attention",),
        sliding_attention=RopeParameters(rope_theta=500000.0),
        full_attention=RopeParameters(rope_theta=500000.0),
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    rms_norm_eps: float = 1e-05
    sliding_window: int | None = 4096
    layer_types: tuple[LayerType, ...] = every(4)
