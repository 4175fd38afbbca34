from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import width
from hf_config.record import Alias, derived, record


def _mlp_width(config: "RwkvConfig") -> int:
    return 4 * config.hidden_size


@record
class RwkvConfig(PreTrainedConfig):
    """RWKV-4: token shifts and a running weighted mean in place of attention."""

    model_type: ClassVar[str] = "rwkv"

    vocab_size: int = 50277
    context_length: int = 1024
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    attention_hidden_size: int = derived(width)
    intermediate_size: int = derived(_mlp_width)
    layer_norm_epsilon: float = 1e-05
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 0
    rescale_every: int = 6
    tie_word_embeddings: bool = False

    max_position_embeddings = Alias[int]("context_length")
