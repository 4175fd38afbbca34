from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class OpenAIGPTConfig(PreTrainedConfig):
    """The first GPT: norms after each part, learned positions, no final norm."""

    model_type: ClassVar[str] = "openai-gpt"

    vocab_size: int = 40478
    n_positions: int = 512
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    afn: Activation = "gelu"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-05
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    max_position_embeddings = Alias[int]("n_positions")
    hidden_size = Alias[int]("n_embd")
    num_attention_heads = Alias[int]("n_head")
    num_hidden_layers = Alias[int]("n_layer")
