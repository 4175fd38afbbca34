from dataclasses import field
from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, Record, record


@record
class MptAttentionConfig(Record):
    """How MPT attends."""

    attn_type: Literal["multihead_attention", "multiquery_attention"] = "multihead_attention"
    attn_pdrop: int | float = 0
    clip_qkv: float | None = None
    softmax_scale: float | None = None
    prefix_lm: bool = False
    qk_ln: bool = False
    attn_uses_sequence_id: bool = False
    alibi: bool = True
    alibi_bias_max: int = 8


@record
class MptConfig(PreTrainedConfig):
    """MPT: linear position biases, norms without bias, one fused projection."""

    model_type: ClassVar[str] = "mpt"

    d_model: int = 2048
    n_heads: int = 16
    n_layers: int = 24
    expansion_ratio: int = 4
    max_seq_len: int = 2048
    vocab_size: int = 50368
    resid_pdrop: float = 0.0
    layer_norm_epsilon: float = 1e-05
    emb_pdrop: float = 0.0
    learned_pos_emb: bool = True
    attn_config: MptAttentionConfig = field(default_factory=MptAttentionConfig)
    logit_scale: float | str | None = None
    no_bias: bool = True
    embedding_fraction: float = 1.0
    use_cache: bool = False
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    num_attention_heads = Alias[int]("n_heads")
    hidden_size = Alias[int]("d_model")
    num_hidden_layers = Alias[int]("n_layers")
    max_position_embeddings = Alias[int]("max_seq_len")
