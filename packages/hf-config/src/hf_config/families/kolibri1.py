from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, every
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class Kolibri1Config(PreTrainedConfig):
    """Kolibri 1: experts everywhere, and full attention without positions every fifth layer."""

    model_type: ClassVar[str] = "kolibri1"

    vocab_size: int = 128000
    hidden_size: int = 2560
    num_hidden_layers: int = 50
    num_attention_heads: int = 48
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 262144
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    sliding_window: int | None = 513
    attention_dropout: float = 0.0
    moe_intermediate_size: int = 512
    num_experts_per_tok: int = 6
    num_experts: int = 384
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    head_dim: int = 128
    shared_expert_intermediate_size: int = 512
    layer_types: tuple[LayerType, ...] = every(5)

    num_local_experts = Alias[int]("num_experts")
