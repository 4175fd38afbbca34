from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, rotated_layers
from hf_config.layers import LayerType, layer_types
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _moe_layers(config: "Llama4TextConfig") -> tuple[int, ...]:
    step = config.interleave_moe_layer_step
    return tuple(range(step - 1, config.num_hidden_layers, step))


def _kinds(config: "Llama4TextConfig") -> list[LayerType]:
    return ["chunked_attention" if rope else "full_attention" for rope in config.no_rope_layers]


@record
class Llama4TextConfig(PreTrainedConfig):
    """Llama 4 text: chunked attention, layers without positions, and experts."""

    model_type: ClassVar[str] = "llama4_text"

    vocab_size: int = 202048
    hidden_size: int = 5120
    intermediate_size: int = 8192
    intermediate_size_mlp: int = 16384
    num_hidden_layers: int = 48
    num_attention_heads: int = 40
    num_key_value_heads: int = 8
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 1
    num_local_experts: int = 16
    moe_layers: tuple[int, ...] = derived(_moe_layers)
    interleave_moe_layer_step: int = 1
    use_qk_norm: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_parameters: RopeParameters = rope(theta=500000.0)
    no_rope_layers: tuple[int, ...] = derived(rotated_layers)
    no_rope_layer_interval: int = 4
    attention_chunk_size: int | None = 8192
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    attn_temperature_tuning: bool = True
    floor_scale: int = 8192
    attn_scale: float = 0.1
    attention_bias: bool = False
