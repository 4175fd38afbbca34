from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, head_dim, kv_heads
from hf_config.layers import LayerType, every
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class Cohere2Config(PreTrainedConfig):
    """Command R7B: Cohere with windowed layers and full layers without positions."""

    model_type: ClassVar[str] = "cohere2"

    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    logit_scale: float = 0.0625
    num_hidden_layers: int = 40
    num_attention_heads: int = 64
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 5
    eos_token_id: int | tuple[int, ...] | None = 255001
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int | None = 4096
    layer_types: tuple[LayerType, ...] = every(4, key="sliding_window_pattern")
    head_dim: int = always(head_dim)
