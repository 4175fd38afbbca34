from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, auto, time_step_rank
from hf_config.layers import LayerType
from hf_config.record import record


def _inner_width(config: "MambaConfig") -> int:
    return config.expand * config.hidden_size


@record
class MambaConfig(PreTrainedConfig):
    """Mamba: selective state spaces and nothing else."""

    model_type: ClassVar[str] = "mamba"

    vocab_size: int = 50280
    hidden_size: int = 768
    state_size: int = 16
    num_hidden_layers: int = 32
    layer_norm_epsilon: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 0
    expand: int = 2
    conv_kernel: int = 4
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: Activation = "silu"
    initializer_range: float = 0.1
    residual_in_fp32: bool = True
    time_step_rank: int = auto(time_step_rank)
    time_step_scale: float = 1.0
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_init_scheme: str = "random"
    time_step_floor: float = 0.0001
    rescale_prenorm_residual: bool = False
    tie_word_embeddings: bool = True
    intermediate_size: int = always(_inner_width)

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """Recurrence in every layer."""
        kind: LayerType = "linear_attention"
        return (kind,) * self.num_hidden_layers
