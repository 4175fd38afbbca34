from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, record


@record
class XLMConfig(PreTrainedConfig):
    """XLM: a multilingual encoder or decoder with language embeddings."""

    model_type: ClassVar[str] = "xlm"

    vocab_size: int = 30145
    emb_dim: int = 2048
    n_layers: int = 12
    n_heads: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    gelu_activation: bool = True
    sinusoidal_embeddings: bool = False
    causal: bool = False
    asm: bool = False
    n_langs: int = 1
    use_lang_emb: bool = True
    max_position_embeddings: int = 512
    embed_init_std: float = 0.02209708691207961
    layer_norm_eps: float = 1e-12
    init_std: float = 0.02
    unk_index: int = 3
    mask_index: int = 5
    is_encoder: bool = True
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    start_n_top: int = 5
    end_n_top: int = 5
    mask_token_id: int | None = 0
    lang_id: int = 0
    pad_token_id: int | None = 2
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    tie_word_embeddings: bool = True

    hidden_size = Alias[int]("emb_dim")
    num_attention_heads = Alias[int]("n_heads")
    num_hidden_layers = Alias[int]("n_layers")
    n_words = Alias[int]("vocab_size")
    bos_index = Alias[int | None]("bos_token_id")
    eos_index = Alias[int | tuple[int, ...] | None]("eos_token_id")
    pad_index = Alias[int | None]("pad_token_id")
