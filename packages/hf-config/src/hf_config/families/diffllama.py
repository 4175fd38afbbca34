from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class DiffLlamaConfig(PreTrainedConfig):
    """DiffLlama: Llama whose attention is the difference of two maps."""

    model_type: ClassVar[str] = "diffllama"

    vocab_size: int = 32000
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_hidden_layers: int = 16
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    lambda_std_dev: float = 0.1
    head_dim: int = derived(head_dim)
