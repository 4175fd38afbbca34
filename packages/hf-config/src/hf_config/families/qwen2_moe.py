from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, used_window
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _windows(config: "Qwen2MoeConfig") -> list[LayerType]:
    return [
        "sliding_attention"
        if config.use_sliding_window and index % 2 == 0 and index < config.max_window_layers
        else "full_attention"
        for index in range(config.num_hidden_layers)
    ]


@record
class Qwen2MoeConfig(PreTrainedConfig):
    """Qwen2-MoE: Qwen2 with experts and a gated shared expert."""

    model_type: ClassVar[str] = "qwen2_moe"

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int = 16
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    use_sliding_window: bool = False
    sliding_window: int | None = used_window(4096, unused=0)
    max_window_layers: int = 28
    attention_dropout: float = 0.0
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 1408
    shared_expert_intermediate_size: int = 5632
    num_experts_per_tok: int = 4
    num_experts: int = 60
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: tuple[int, ...] = ()
    qkv_bias: bool = True
    layer_types: tuple[LayerType, ...] = layer_types(_windows)
