from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, record


@record
class BloomConfig(PreTrainedConfig):
    """BLOOM: linear position biases and a norm after the embeddings."""

    model_type: ClassVar[str] = "bloom"

    vocab_size: int = 250880
    hidden_size: int = 64
    n_layer: int = 2
    n_head: int = 8
    layer_norm_epsilon: float = 1e-05
    initializer_range: float = 0.02
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    tie_word_embeddings: bool = True

    num_hidden_layers = Alias[int]("n_layer")
    num_attention_heads = Alias[int]("n_head")
    n_embed = Alias[int]("hidden_size")
