import math
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto
from hf_config.layers import LayerType
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _state_head_dim(config: "FalconH1Config") -> int:
    inner = config.mamba_expand * config.hidden_size if config.mamba_d_ssm is None else config.mamba_d_ssm
    return inner // config.mamba_n_heads


@record
class FalconH1Config(PreTrainedConfig):
    """Falcon H1: attention and Mamba 2 side by side in every layer, with multipliers."""

    model_type: ClassVar[str] = "falcon_h1"

    vocab_size: int = 128000
    tie_word_embeddings: bool = False
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    max_position_embeddings: int = 8192
    attention_dropout: float = 0.0
    mamba_d_ssm: int | None = 1024
    mamba_n_heads: int = 128
    mamba_d_head: int = auto(_state_head_dim)
    mamba_n_groups: int = 1
    mamba_d_state: int = 256
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_chunk_size: int = 256
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    mamba_norm_before_gate: bool = True
    mamba_rms_norm: bool = False
    time_step_limit: tuple[float, float] = (0.0, math.inf)
    projectors_bias: bool = False
    rope_parameters: RopeParameters = rope()
    lm_head_multiplier: float = 1.0
    embedding_multiplier: float = 1.0
    mlp_multipliers: tuple[float, float] = (1.0, 1.0)
    key_multiplier: float = 1.0
    attention_out_multiplier: float = 1.0
    attention_in_multiplier: float = 1.0
    ssm_multipliers: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    ssm_in_multiplier: float = 1.0
    ssm_out_multiplier: float = 1.0
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """Both mixers in every layer."""
        kind: LayerType = "hybrid"
        return (kind,) * self.num_hidden_layers
