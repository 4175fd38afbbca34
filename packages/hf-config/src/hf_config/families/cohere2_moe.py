from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.layers import LayerType, MlpType, dense_first, layer_types
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _windows(config: "Cohere2MoeConfig") -> list[LayerType]:
    prefix = config.first_k_dense_replace
    patterns = [
        *((index, config.prefix_dense_sliding_window_pattern) for index in range(prefix)),
        *((index, config.sliding_window_pattern) for index in range(config.num_hidden_layers - prefix)),
    ]
    return ["sliding_attention" if (index + 1) % period else "full_attention" for index, period in patterns]


@record
class Cohere2MoeConfig(PreTrainedConfig):
    """Cohere 2 MoE: Cohere 2 with experts after a dense prefix."""

    model_type: ClassVar[str] = "cohere2_moe"

    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    logit_scale: float = 0.0625
    num_hidden_layers: int = 40
    num_attention_heads: int = 64
    num_key_value_heads: int = derived(kv_heads)
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 5
    eos_token_id: int | tuple[int, ...] | None = 255001
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int | None = 4096
    num_experts_per_tok: int = 2
    num_experts: int = 8
    output_router_logits: bool = False
    num_shared_experts: int = 0
    shared_expert_combination_strategy: Literal["average", "sum"] = "average"
    expert_selection_fn: Literal["softmax", "sigmoid"] = "softmax"
    prefix_dense_sliding_window_pattern: int = 1
    norm_topk_prob: bool = True
    prefix_dense_intermediate_size: int | None = None
    rms_norm_eps: float | None = None
    sliding_window_pattern: int = 4
    first_k_dense_replace: int = 0
    layer_types: tuple[LayerType, ...] = layer_types(_windows)
    mlp_layer_types: tuple[MlpType, ...] = dense_first(0, key="first_k_dense_replace")
