from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, decoder_layers, gated, inner_activation, tied
from hf_config.record import Alias, derived, record


@record
class UMT5Config(PreTrainedConfig):
    """UMT5: mT5 with position biases in every layer."""

    model_type: ClassVar[str] = "umt5"

    is_encoder_decoder: bool = True
    vocab_size: int = 250112
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 8
    num_decoder_layers: int = derived(decoder_layers)
    num_heads: int = 6
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-06
    initializer_factor: float = 1.0
    feed_forward_proj: str = "gated-gelu"
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    decoder_start_token_id: int | None = 0
    classifier_dropout: float = 0.0
    is_decoder: bool = False
    tie_word_embeddings: bool = always(tied)
    dense_act_fn: Activation = always(inner_activation)
    is_gated_act: bool = always(gated)

    hidden_size = Alias[int]("d_model")
    num_attention_heads = Alias[int]("num_heads")
    num_hidden_layers = Alias[int]("num_layers")
    head_dim = Alias[int]("d_kv")
