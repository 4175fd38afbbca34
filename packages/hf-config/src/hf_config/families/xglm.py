from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class XGLMConfig(PreTrainedConfig):
    """XGLM: fixed sinusoidal positions and scaled embeddings."""

    model_type: ClassVar[str] = "xglm"

    vocab_size: int = 256008
    max_position_embeddings: int = 2048
    d_model: int = 1024
    ffn_dim: int = 4096
    num_layers: int = 24
    attention_heads: int = 16
    activation_function: Activation = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = True
    decoder_start_token_id: int | None = 2
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("attention_heads")
    hidden_size = Alias[int]("d_model")
    num_hidden_layers = Alias[int]("num_layers")
