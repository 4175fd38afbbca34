import math
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto, time_step_rank
from hf_config.layers import LayerType
from hf_config.record import record


@record
class Mamba2Config(PreTrainedConfig):
    """Mamba 2: selective state spaces with heads."""

    model_type: ClassVar[str] = "mamba2"

    num_heads: int = 128
    head_dim: int = 64
    vocab_size: int = 32768
    hidden_size: int = 4096
    state_size: int = 128
    num_hidden_layers: int = 64
    layer_norm_epsilon: float = 1e-05
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    expand: int = 2
    conv_kernel: int = 4
    n_groups: int = 8
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: Activation = "silu"
    initializer_range: float = 0.1
    residual_in_fp32: bool = True
    time_step_rank: int = auto(time_step_rank)
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_floor: float = 0.0001
    time_step_limit: tuple[float, float] = (0.0, math.inf)
    rescale_prenorm_residual: bool = False
    chunk_size: int = 256
    tie_word_embeddings: bool = False

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """Recurrence in every layer."""
        kind: LayerType = "linear_attention"
        return (kind,) * self.num_hidden_layers
