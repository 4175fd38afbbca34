from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always
from hf_config.record import record


def _count(config: "ReformerConfig") -> int:
    return len(config.attn_layers)


@record
class ReformerConfig(PreTrainedConfig):
    """Reformer: hashed and local attention with reversible layers."""

    model_type: ClassVar[str] = "reformer"

    attention_head_size: int = 64
    attn_layers: tuple[Literal["local", "lsh"], ...] = ("local", "lsh", "local", "lsh", "local", "lsh")
    axial_norm_std: float = 1.0
    axial_pos_embds: bool = True
    axial_pos_shape: tuple[int, ...] = (64, 64)
    axial_pos_embds_dim: tuple[int, ...] = (64, 192)
    chunk_size_lm_head: int = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    feed_forward_size: int = 512
    hash_seed: int | None = None
    hidden_act: Activation = "relu"
    hidden_dropout_prob: float = 0.05
    hidden_size: int = 256
    initializer_range: float = 0.02
    is_decoder: bool = False
    layer_norm_eps: float = 1e-12
    local_num_chunks_before: int = 1
    local_num_chunks_after: int = 0
    local_attention_probs_dropout_prob: float = 0.05
    local_attn_chunk_length: int = 64
    lsh_attn_chunk_length: int = 64
    lsh_attention_probs_dropout_prob: float = 0.0
    lsh_num_chunks_before: int = 1
    lsh_num_chunks_after: int = 0
    max_position_embeddings: int = 4096
    num_attention_heads: int = 12
    num_buckets: int | tuple[int, ...] | None = None
    num_hashes: int = 1
    vocab_size: int = 320
    tie_word_embeddings: bool = False
    classifier_dropout: float | None = None
    pad_token_id: int | None = 0
    num_hidden_layers: int = always(_count)
