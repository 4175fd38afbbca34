from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always
from hf_config.record import Alias, record


def _kv_heads(config: "GPTBigCodeConfig") -> int:
    return 1 if config.multi_query else config.n_head


@record
class GPTBigCodeConfig(PreTrainedConfig):
    """GPT-BigCode, StarCoder: GPT-2 with one key head for all query heads."""

    model_type: ClassVar[str] = "gpt_bigcode"

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: Activation = "gelu_pytorch_tanh"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-05
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | tuple[int, ...] | None = 50256
    attention_softmax_in_fp32: bool = True
    scale_attention_softmax_in_fp32: bool = True
    multi_query: bool = True
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    num_key_value_heads: int = always(_kv_heads)

    hidden_size = Alias[int]("n_embd")
    max_position_embeddings = Alias[int]("n_positions")
    num_attention_heads = Alias[int]("n_head")
    num_hidden_layers = Alias[int]("n_layer")
