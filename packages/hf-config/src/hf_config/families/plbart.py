from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class PLBartConfig(PreTrainedConfig):
    """PLBART: BART for program code."""

    model_type: ClassVar[str] = "plbart"

    is_encoder_decoder: bool = True
    vocab_size: int = 50005
    max_position_embeddings: int = 1024
    encoder_layers: int = 6
    encoder_ffn_dim: int = 3072
    encoder_attention_heads: int = 12
    decoder_layers: int = 6
    decoder_ffn_dim: int = 3072
    decoder_attention_heads: int = 12
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: Activation = "gelu"
    d_model: int = 768
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    init_std: float = 0.02
    classifier_dropout: float = 0.0
    scale_embedding: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    forced_eos_token_id: int | tuple[int, ...] | None = 2
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("encoder_attention_heads")
    hidden_size = Alias[int]("d_model")
    initializer_range = Alias[float]("init_std")
    num_hidden_layers = Alias[int]("encoder_layers")
