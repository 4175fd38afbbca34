from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.record import record


@record
class CpmAntConfig(PreTrainedConfig):
    """CPM-Ant: learned position buckets over prompts and segments."""

    model_type: ClassVar[str] = "cpmant"

    vocab_size: int = 30720
    hidden_size: int = 4096
    num_attention_heads: int = 32
    dim_head: int = 128
    dim_ff: int = 10240
    num_hidden_layers: int = 48
    dropout_p: float = 0.0
    position_bias_num_buckets: int = 512
    position_bias_max_distance: int = 2048
    eps: float = 1e-06
    init_std: float = 1.0
    prompt_types: int = 32
    prompt_length: int = 32
    segment_types: int = 32
    tie_word_embeddings: bool = True
