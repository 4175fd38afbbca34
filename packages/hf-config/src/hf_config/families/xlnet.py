from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, derived, record


def _head(config: "XLNetConfig") -> int:
    return config.d_model // config.n_head


@record
class XLNetConfig(PreTrainedConfig):
    """XLNet: permuted prediction with memories and relative positions."""

    model_type: ClassVar[str] = "xlnet"

    vocab_size: int = 32000
    d_model: int = 1024
    n_layer: int = 24
    n_head: int = 16
    d_inner: int = 4096
    d_head: int = derived(_head)
    ff_activation: str = "gelu"
    attn_type: Literal["bi", "uni"] = "bi"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1
    mem_len: int = 512
    reuse_len: int | None = None
    use_mems_eval: bool = True
    use_mems_train: bool = False
    bi_data: bool = False
    clamp_len: int = -1
    same_length: bool = False
    summary_type: str = "last"
    summary_use_proj: bool = True
    summary_activation: str = "tanh"
    summary_last_dropout: float = 0.1
    start_n_top: int = 5
    end_n_top: int = 5
    pad_token_id: int | None = 5
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = True

    n_token = Alias[int]("vocab_size")
    hidden_size = Alias[int]("d_model")
    num_attention_heads = Alias[int]("n_head")
    num_hidden_layers = Alias[int]("n_layer")
