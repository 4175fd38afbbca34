from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class MiniMaxM2Config(PreTrainedConfig):
    """MiniMax M2: partly rotated heads normalised as a whole, and bias-corrected experts."""

    model_type: ClassVar[str] = "minimax_m2"

    vocab_size: int = 200064
    hidden_size: int = 3072
    intermediate_size: int = 1536
    num_hidden_layers: int = 62
    num_attention_heads: int = 48
    num_key_value_heads: int = 8
    head_dim: int = 128
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 196608
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 200034
    eos_token_id: int | tuple[int, ...] | None = 200020
    tie_word_embeddings: bool = False
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 8
    num_local_experts: int = 256
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_parameters: RopeParameters = rope(theta=5000000.0, rotary_dim_key="rotary_dim")

    num_experts = Alias[int]("num_local_experts")
