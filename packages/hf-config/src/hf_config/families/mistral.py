from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class MistralConfig(PreTrainedConfig):
    """Mistral: Llama whose layers may all attend within a window."""

    model_type: ClassVar[str] = "mistral"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = derived(head_dim)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    sliding_window: int | None = 4096
    attention_dropout: float = 0.0
