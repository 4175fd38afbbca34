from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, record


@record
class CTRLConfig(PreTrainedConfig):
    """CTRL: fixed sinusoidal positions and control codes."""

    model_type: ClassVar[str] = "ctrl"

    vocab_size: int = 246534
    n_positions: int = 256
    n_embd: int = 1280
    dff: int = 8192
    n_layer: int = 48
    n_head: int = 16
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-06
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    max_position_embeddings = Alias[int]("n_positions")
    hidden_size = Alias[int]("n_embd")
    num_attention_heads = Alias[int]("n_head")
    num_hidden_layers = Alias[int]("n_layer")
