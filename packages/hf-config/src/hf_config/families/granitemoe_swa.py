from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads, one_theta
from hf_config.layers import LayerType, starting
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class GraniteMoeSWAConfig(PreTrainedConfig):
    """Granite-MoE with windows, attention sinks and a rotation base for each layer."""

    model_type: ClassVar[str] = "granitemoe_swa"

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
    shared_intermediate_size: int = 0
    sliding_window: int | None = 128
    layer_types: tuple[LayerType, ...] = starting(4)
    layer_rope_theta: tuple[float, ...] = derived(one_theta)
