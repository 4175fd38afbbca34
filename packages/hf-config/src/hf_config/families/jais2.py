from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class Jais2Config(PreTrainedConfig):
    """Jais 2: layer norms, biases everywhere and a squared-ReLU MLP."""

    model_type: ClassVar[str] = "jais2"

    vocab_size: int = 150272
    hidden_size: int = 3328
    intermediate_size: int = 26624
    num_hidden_layers: int = 32
    num_attention_heads: int = 26
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "relu2"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 150024
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = True
    attention_dropout: float = 0.0
    mlp_bias: bool = True
    head_dim: int = derived(head_dim)
    layer_norm_eps: float = 1e-05
