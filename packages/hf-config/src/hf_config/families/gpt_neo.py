from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always
from hf_config.record import Alias, record


def _kinds(config: "GPTNeoConfig") -> tuple[str, ...]:
    return tuple(kind for kinds, times in config.attention_types for _ in range(times) for kind in kinds)


@record
class GPTNeoConfig(PreTrainedConfig):
    """GPT-Neo: GPT-2 with windows on every other layer."""

    model_type: ClassVar[str] = "gpt_neo"

    vocab_size: int = 50257
    max_position_embeddings: int = 2048
    hidden_size: int = 2048
    num_layers: int = 24
    attention_types: tuple[tuple[tuple[str, ...], int], ...] = ((("global", "local"), 12),)
    num_heads: int = 16
    intermediate_size: int | None = None
    window_size: int = 256
    activation_function: Activation = "gelu_new"
    resid_dropout: float = 0.0
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    classifier_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-05
    initializer_range: float = 0.02
    bos_token_id: int | None = 50256
    eos_token_id: int | tuple[int, ...] | None = 50256
    tie_word_embeddings: bool = True
    attention_layers: tuple[str, ...] = always(_kinds)

    num_attention_heads = Alias[int]("num_heads")
    num_hidden_layers = Alias[int]("num_layers")
