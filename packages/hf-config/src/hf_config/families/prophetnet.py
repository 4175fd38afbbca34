from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class ProphetNetConfig(PreTrainedConfig):
    """ProphetNet: an encoder-decoder that predicts several words ahead."""

    model_type: ClassVar[str] = "prophetnet"

    is_encoder_decoder: bool = True
    activation_dropout: float = 0.1
    activation_function: Activation = "gelu"
    vocab_size: int = 30522
    hidden_size: int = 1024
    encoder_ffn_dim: int = 4096
    num_encoder_layers: int = 12
    num_encoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    num_decoder_layers: int = 12
    num_decoder_attention_heads: int = 16
    attention_dropout: float = 0.1
    dropout: float = 0.1
    max_position_embeddings: int = 512
    init_std: float = 0.02
    add_cross_attention: bool = True
    decoder_start_token_id: int | None = 0
    ngram: int = 2
    num_buckets: int = 32
    relative_max_distance: int = 128
    disable_ngram_loss: bool = False
    eps: float = 0.0
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("num_encoder_attention_heads")
    num_hidden_layers = Alias[int]("num_encoder_layers")
