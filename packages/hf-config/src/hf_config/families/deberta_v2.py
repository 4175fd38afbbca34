from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, position_terms, width
from hf_config.record import completed, derived, record


@record
class DebertaV2Config(PreTrainedConfig):
    """DeBERTa v2 and v3: DeBERTa with shared position buckets."""

    model_type: ClassVar[str] = "deberta-v2"

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-07
    relative_attention: bool = False
    max_relative_positions: int = -1
    pad_token_id: int | None = 0
    position_biased_input: bool = True
    pos_att_type: tuple[str, ...] | None = completed(position_terms)
    share_att_key: bool = False
    position_buckets: int = -1
    norm_rel_ebd: str = "none"
    conv_kernel_size: int = 0
    conv_groups: int = 1
    conv_act: Activation = "tanh"
    cls_dropout: float | None = None
    pooler_dropout: float = 0.0
    pooler_hidden_act: Activation = "gelu"
    legacy: bool = True
    tie_word_embeddings: bool = True
    pooler_hidden_size: int = derived(width)
