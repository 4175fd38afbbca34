from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class DogeConfig(PreTrainedConfig):
    """Doge: dynamic masks over values, and experts picked by product keys."""

    model_type: ClassVar[str] = "doge"

    vocab_size: int = 32768
    hidden_size: int = 1024
    intermediate_size: int = 2048
    num_hidden_layers: int = 32
    hidden_dropout: float = 0.0
    hidden_act: Activation = "silu"
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 2048
    rope_parameters: RopeParameters = rope()
    num_attention_heads: int = 8
    num_key_value_heads: int = derived(kv_heads)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    sliding_window: int | None = None
    keep_window_size: int = 2048
    is_moe: bool = False
    num_experts: int = 16384
    num_experts_per_tok: int = 64
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
