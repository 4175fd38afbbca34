from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record


@record
class DistilBertConfig(PreTrainedConfig):
    """DistilBERT: half of BERT's layers, without token types."""

    model_type: ClassVar[str] = "distilbert"

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: Activation = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True

    hidden_size = Alias[int]("dim")
    num_attention_heads = Alias[int]("n_heads")
    num_hidden_layers = Alias[int]("n_layers")
