from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class TrOCRConfig(PreTrainedConfig):
    """TrOCR: BART's decoder, reading an image encoder."""

    model_type: ClassVar[str] = "trocr"

    vocab_size: int = 50265
    d_model: int = 1024
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    activation_function: Activation = "gelu"
    max_position_embeddings: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    decoder_start_token_id: int | None = 2
    init_std: float = 0.02
    decoder_layerdrop: float = 0.0
    scale_embedding: bool = False
    use_learned_position_embeddings: bool = True
    layernorm_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    cross_attention_hidden_size: int | None = None
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("decoder_attention_heads")
    hidden_size = Alias[int]("d_model")
    num_hidden_layers = Alias[int]("decoder_layers")
