from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class BlenderbotConfig(PreTrainedConfig):
    """Blenderbot: conversation with a shallow encoder and a deep decoder."""

    model_type: ClassVar[str] = "blenderbot"

    is_encoder_decoder: bool = True
    vocab_size: int = 8008
    max_position_embeddings: int = 128
    encoder_layers: int = 2
    encoder_ffn_dim: int = 10240
    encoder_attention_heads: int = 32
    decoder_layers: int = 24
    decoder_ffn_dim: int = 10240
    decoder_attention_heads: int = 32
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: Activation = "gelu"
    d_model: int = 2560
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 1
    scale_embedding: bool = False
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    encoder_no_repeat_ngram_size: int = 3
    forced_eos_token_id: int | tuple[int, ...] | None = 2
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("encoder_attention_heads")
    hidden_size = Alias[int]("d_model")
    num_hidden_layers = Alias[int]("encoder_layers")
