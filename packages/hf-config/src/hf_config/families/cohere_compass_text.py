from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, head_dim, kv_heads
from hf_config.layers import LayerType, uniform
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, layered_rope


@record
class CohereCompassTextConfig(PreTrainedConfig):
    """Cohere Compass text: Cohere 2 for retrieval."""

    model_type: ClassVar[str] = "cohere_compass_text"

    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    logit_scale: float | None = None
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
    rope_parameters: Mapping[str, RopeParameters | None] = layered_rope(
        full_attention=RopeParameters(), sliding_attention=RopeParameters()
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int | None = 4096
    layer_types: tuple[LayerType, ...] = uniform("full_attention")
    pooling: str | None = None
    head_dim: int = always(head_dim)
