import math
from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, auto, kv_heads
from hf_config.layers import LayerType, uniform
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


def _state_head_dim(config: "GraniteMoeHybridConfig") -> int:
    return config.mamba_expand * config.hidden_size // config.mamba_n_heads


@record
class GraniteMoeHybridConfig(PreTrainedConfig):
    """Granite 4: Mamba 2 layers with attention, experts and a shared MLP."""

    model_type: ClassVar[str] = "granitemoehybrid"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    shared_intermediate_size: int = 1024
    position_embedding_type: Literal["rope", "nope"] | None = None
    layer_types: tuple[LayerType, ...] = uniform("linear_attention")
    mamba_n_heads: int = 128
    mamba_n_groups: int = 1
    mamba_d_state: int = 256
    mamba_d_head: int = auto(_state_head_dim)
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_chunk_size: int = 256
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    time_step_limit: tuple[float, float] = (0.0, math.inf)

    layers_block_type = Alias[tuple[LayerType, ...]]("layer_types")
