from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, decoder_layers, gated, inner_activation, scaled_outputs, tied
from hf_config.record import Alias, completed, derived, record


@record
class LongT5Config(PreTrainedConfig):
    """LongT5: T5 whose encoder attends within windows."""

    model_type: ClassVar[str] = "longt5"

    is_encoder_decoder: bool = True
    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int = derived(decoder_layers)
    num_heads: int = 8
    local_radius: int = 127
    global_block_size: int = 16
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-06
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    encoder_attention_type: Literal["local", "transient-global"] = "local"
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    is_decoder: bool = False
    scale_decoder_outputs: bool = completed(scaled_outputs, absorbs=("tie_word_embeddings",))
    tie_word_embeddings: bool = always(tied)
    dense_act_fn: Activation = always(inner_activation)
    is_gated_act: bool = always(gated)

    hidden_size = Alias[int]("d_model")
    num_attention_heads = Alias[int]("num_heads")
    num_hidden_layers = Alias[int]("num_layers")
    head_dim = Alias[int]("d_kv")
