import math
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _spread(config: "YoutuConfig") -> float:
    return 2.0 / math.sqrt(5.0 * config.hidden_size)


def _embedding_spread(config: "YoutuConfig") -> float:
    return 2.0 * config.initializer_range


@record
class YoutuConfig(PreTrainedConfig):
    """Youtu: DeepSeek's latent attention in a dense model."""

    model_type: ClassVar[str] = "youtu"

    vocab_size: int = 128256
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    qk_nope_head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = derived(_spread)
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 128000
    eos_token_id: int | tuple[int, ...] | None = 128001
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    rope_interleave: bool = True
    attention_bias: bool = False
    attention_dropout: float = 0.0
    embedding_initializer_range: float = derived(_embedding_spread)
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)
