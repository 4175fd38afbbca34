from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, head_dim, kv_heads, width
from hf_config.layers import LayerType
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


def _final_spread(config: "RecurrentGemmaConfig") -> float:
    return 2.0 / config.num_hidden_layers


@record
class RecurrentGemmaConfig(PreTrainedConfig):
    """RecurrentGemma, Griffin: gated linear recurrences with windowed attention."""

    model_type: ClassVar[str] = "recurrent_gemma"

    num_hidden_layers: int = 26
    vocab_size: int = 256000
    hidden_size: int = 2560
    intermediate_size: int = 7680
    num_attention_heads: int = 10
    lru_width: int = derived(width)
    attention_window_size: int = 2048
    conv1d_width: int = 4
    logits_soft_cap: float = 30.0
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    bos_token_id: int | None = 2
    hidden_activation: Activation = "gelu_pytorch_tanh"
    rope_parameters: RopeParameters = rope(partial=0.5)
    block_types: tuple[Literal["recurrent", "attention"], ...] = ("recurrent", "recurrent", "attention")
    attention_dropout: float = 0.0
    num_key_value_heads: int = derived(kv_heads)
    attention_bias: bool = False
    w_init_variance_scale: float = 0.01
    tie_word_embeddings: bool = True
    head_dim: int = always(head_dim)
    final_w_init_variance_scale: float = always(_final_spread)

    sliding_window = Alias[int]("attention_window_size")

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """`block_types`, repeated over the layers."""
        kinds = (self.block_types[index % len(self.block_types)] for index in range(self.num_hidden_layers))
        return tuple("linear_attention" if kind == "recurrent" else "sliding_attention" for kind in kinds)
