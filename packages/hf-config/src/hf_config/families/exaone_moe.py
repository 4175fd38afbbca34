from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, windows_by_pattern
from hf_config.layers import LayerType, MlpType, dense_first, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class ExaoneMoeConfig(PreTrainedConfig):
    """EXAONE MoE: EXAONE 4's attention before bias-corrected experts."""

    model_type: ClassVar[str] = "exaone_moe"

    vocab_size: int = 102400
    hidden_size: int = 4096
    intermediate_size: int = 16384
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 53
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_dropout: float = 0.0
    sliding_window: int = 4096
    sliding_window_pattern: int | str | None = 4
    layer_types: tuple[LayerType, ...] = layer_types(windows_by_pattern)
    mlp_layer_types: tuple[MlpType, ...] = dense_first(1, key="first_k_dense_replace")
    first_k_dense_replace: int = 1
    moe_intermediate_size: int = 1024
    num_experts: int = 64
    num_experts_per_tok: int = 8
    output_router_logits: bool = False
    num_shared_experts: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 2.5
    n_group: int = 1
    topk_group: int = 1
