from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


def _ffn_width(config: "FalconConfig") -> int:
    return config.hidden_size * 4


@record
class FalconConfig(PreTrainedConfig):
    """Falcon: few key heads, attention and MLP side by side, rotation or linear biases."""

    model_type: ClassVar[str] = "falcon"

    vocab_size: int = 65024
    hidden_size: int = 4544
    num_hidden_layers: int = 32
    num_attention_heads: int = 71
    num_ln_in_parallel_attn: int | None = None
    layer_norm_epsilon: float = 1e-05
    initializer_range: float = 0.02
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    num_kv_heads: int = derived(kv_heads)
    alibi: bool = False
    new_decoder_architecture: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    bias: bool = False
    max_position_embeddings: int = 2048
    rope_parameters: RopeParameters = rope()
    bos_token_id: int | None = 11
    eos_token_id: int | tuple[int, ...] | None = 11
    ffn_hidden_size: int = derived(_ffn_width)
    activation: Activation = "gelu"
    tie_word_embeddings: bool = True

    n_embed = Alias[int]("hidden_size")

    @property
    def head_dim(self) -> int:
        """The size of one head."""
        return self.hidden_size // self.num_attention_heads
