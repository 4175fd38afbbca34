from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, every
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class GptOssConfig(PreTrainedConfig):
    """gpt-oss: experts with clamped gates, attention sinks, windows on every other layer."""

    model_type: ClassVar[str] = "gpt_oss"

    num_hidden_layers: int = 36
    num_local_experts: int = 128
    vocab_size: int = 201088
    hidden_size: int = 2880
    intermediate_size: int = 2880
    head_dim: int = 64
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    sliding_window: int | None = 128
    tie_word_embeddings: bool = False
    hidden_act: Activation = "silu"
    initializer_range: float = 0.02
    max_position_embeddings: int = 131072
    rms_norm_eps: float = 1e-05
    rope_parameters: RopeParameters = rope(
        theta=150000.0,
        default={
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 4096,
        },
    )
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 4
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    router_aux_loss_coef: float = 0.001
    output_router_logits: bool = False
    layer_types: tuple[LayerType, ...] = every(2)
    attention_bias: bool = True

    num_experts = Alias[int]("num_local_experts")
