from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class NemotronConfig(PreTrainedConfig):
    """Nemotron: layer norms that add one to their weight, half-rotated heads, squared ReLU."""

    model_type: ClassVar[str] = "nemotron"

    vocab_size: int = 256000
    hidden_size: int = 6144
    intermediate_size: int = 24576
    num_hidden_layers: int = 32
    num_attention_heads: int = 48
    head_dim: int = derived(head_dim)
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "relu2"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.0134
    norm_eps: float = 1e-05
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 3
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(partial=0.5)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
