from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class BigBirdPegasusConfig(PreTrainedConfig):
    """BigBird-Pegasus: Pegasus whose encoder attends as BigBird's does."""

    model_type: ClassVar[str] = "bigbird_pegasus"

    is_encoder_decoder: bool = True
    vocab_size: int = 96103
    max_position_embeddings: int = 4096
    encoder_layers: int = 16
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 16
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: Activation = "gelu_new"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int | None = 2
    classifier_dropout: float = 0.0
    scale_embedding: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 1
    attention_type: Literal["block_sparse", "original_full"] = "block_sparse"
    block_size: int = 64
    num_random_blocks: int = 3
    use_bias: bool = False
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("encoder_attention_heads")
    hidden_size = Alias[int]("d_model")
    attention_probs_dropout_prob = Alias[float]("attention_dropout")
    num_hidden_layers = Alias[int]("encoder_layers")
