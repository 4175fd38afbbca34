import math
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto
from hf_config.layers import LayerType
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _state_head_dim(config: "BambaConfig") -> int:
    return config.mamba_expand * config.hidden_size // config.mamba_n_heads


@record
class BambaConfig(PreTrainedConfig):
    """Bamba: Mamba 2 layers with attention at given indices."""

    model_type: ClassVar[str] = "bamba"

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
    max_position_embeddings: int = 262144
    attention_dropout: float = 0.0
    attn_layer_indices: tuple[int, ...] = ()
    mamba_n_heads: int = 128
    mamba_d_head: int = auto(_state_head_dim)
    mamba_n_groups: int = 1
    mamba_d_state: int = 256
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_chunk_size: int = 256
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    time_step_limit: tuple[float, float] = (0.0, math.inf)
    z_loss_coefficient: float = 0.0
    rope_parameters: RopeParameters = rope(partial=0.5)
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """Attention at `attn_layer_indices`, recurrence elsewhere."""
        return tuple(
            "full_attention" if index in self.attn_layer_indices else "linear_attention"
            for index in range(self.num_hidden_layers)
        )
