from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto, time_step_rank
from hf_config.layers import LayerType
from hf_config.record import Alias, record


@record
class JambaConfig(PreTrainedConfig):
    """Jamba: Mamba layers with attention and experts at fixed periods."""

    model_type: ClassVar[str] = "jamba"

    vocab_size: int = 65536
    tie_word_embeddings: bool = False
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    hidden_act: Activation = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    max_position_embeddings: int = 262144
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 2
    num_experts: int = 16
    expert_layer_period: int = 2
    expert_layer_offset: int = 1
    attn_layer_period: int = 8
    attn_layer_offset: int = 4
    mamba_d_state: int = 16
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_dt_rank: int = auto(time_step_rank)
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False

    num_local_experts = Alias[int]("num_experts")

    @property
    def layer_types(self) -> tuple[LayerType, ...]:
        """Attention at the period's offset, recurrence elsewhere."""
        return tuple(
            "full_attention"
            if index % self.attn_layer_period == self.attn_layer_offset
            else "linear_attention"
            for index in range(self.num_hidden_layers)
        )

    @property
    def layers_num_experts(self) -> tuple[int, ...]:
        """How many experts each layer has; one means a plain MLP."""
        return tuple(
            self.num_experts if index % self.expert_layer_period == self.expert_layer_offset else 1
            for index in range(self.num_hidden_layers)
        )
