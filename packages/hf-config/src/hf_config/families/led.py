from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class LEDConfig(PreTrainedConfig):
    """LED: BART whose encoder attends as Longformer's does."""

    model_type: ClassVar[str] = "led"

    is_encoder_decoder: bool = True
    vocab_size: int = 50265
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: Activation = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    classifier_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    attention_window: int | tuple[int, ...] = 512
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("encoder_attention_heads")
    hidden_size = Alias[int]("d_model")
    attention_probs_dropout_prob = Alias[float]("attention_dropout")
    initializer_range = Alias[float]("init_std")
    num_hidden_layers = Alias[int]("encoder_layers")
