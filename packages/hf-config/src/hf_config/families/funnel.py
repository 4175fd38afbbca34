from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, derived, record


def _once(config: "FunnelConfig") -> tuple[int, ...]:
    return (1,) * len(config.block_sizes)


@record
class FunnelConfig(PreTrainedConfig):
    """Funnel: an encoder that shortens its sequence in steps."""

    model_type: ClassVar[str] = "funnel"

    vocab_size: int = 30522
    block_sizes: tuple[int, ...] = (4, 4, 4)
    block_repeats: tuple[int, ...] = derived(_once)
    num_decoder_layers: int = 2
    d_model: int = 768
    n_head: int = 12
    d_head: int = 64
    d_inner: int = 3072
    hidden_act: Activation = "gelu_new"
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    initializer_range: float = 0.1
    initializer_std: float | None = None
    layer_norm_eps: float = 1e-09
    pooling_type: Literal["mean", "max"] = "mean"
    attention_type: Literal["relative_shift", "factorized"] = "relative_shift"
    separate_cls: bool = True
    truncate_seq: bool = True
    pool_q_only: bool = True
    tie_word_embeddings: bool = True

    hidden_size = Alias[int]("d_model")
    num_attention_heads = Alias[int]("n_head")

    @property
    def num_hidden_layers(self) -> int:
        """The encoder's layers, all blocks together."""
        return sum(self.block_sizes)
