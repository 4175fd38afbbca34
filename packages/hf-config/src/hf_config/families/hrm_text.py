from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Record, completed, derived, record
from hf_config.rope import RopeParameters, rope


def _stack(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
    # Until a file gives this, num_hidden_layers counts the layers of one stack.
    return absorbed.get("num_hidden_layers", 16) if given is None else given


def _runs(config: "HrmTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    if given is not None and config.was_given("num_layers_per_stack"):
        return given
    return config.num_layers_per_stack * config.H_cycles * (config.L_cycles + 1)


def _embedding_scale(config: "HrmTextConfig") -> float:
    return 1.0 / config.initializer_range


@record
class HrmTextConfig(PreTrainedConfig):
    """HRM text: two stacks of layers run in nested cycles."""

    model_type: ClassVar[str] = "hrm_text"

    vocab_size: int = 151808
    num_layers_per_stack: int = completed(_stack, absorbs=("num_hidden_layers",))
    hidden_size: int = 1536
    intermediate_size: int = 4096
    num_hidden_layers: int = completed(_runs)
    num_attention_heads: int = 12
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int = 128
    H_cycles: int = 2
    L_cycles: int = 3
    L_bp_cycles: tuple[int, ...] = (2,)
    embedding_scale: float = derived(_embedding_scale)
    prefix_lm: bool = True
