from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _kinds(config: "FlintConfig") -> list[LayerType]:
    last = config.num_hidden_layers - 1
    return [
        "full_attention" if index < 2 or index % 4 == 1 or index == last else "sliding_attention"
        for index in range(config.num_hidden_layers)
    ]


@record
class FlintConfig(PreTrainedConfig):
    """Flint: experts, attention sinks, and full layers without positions."""

    model_type: ClassVar[str] = "flint"

    vocab_size: int = 150144
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 49
    num_attention_heads: int = 32
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 262144
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    sliding_window: int = 513
    attention_dropout: float = 0.0
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 512
    shared_expert_intermediate_size: int = 1024
    num_experts_per_tok: int = 6
    num_experts: int = 256
    norm_topk_prob: bool = True
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.0005
    mlp_only_layers: tuple[int, ...] = (0, 1)
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
    head_dim: int = 128
    attention_bias: bool = False
