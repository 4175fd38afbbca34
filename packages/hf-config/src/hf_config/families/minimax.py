from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim
from hf_config.layers import LayerType, every
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


@record
class MiniMaxConfig(PreTrainedConfig):
    """MiniMax-Text-01: lightning attention beside full attention, and experts."""

    model_type: ClassVar[str] = "minimax"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 14336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = derived(head_dim)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    sliding_window: int | None = None
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 2
    num_local_experts: int = 8
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    router_jitter_noise: float = 0.0
    rope_parameters: RopeParameters = rope(theta=1000000.0)
    layer_types: tuple[LayerType, ...] = every(2, rest="full_attention", last="linear_attention")
    block_size: int = 256
    full_attn_alpha_factor: float = 1.0
    full_attn_beta_factor: float = 1.0
    linear_attn_alpha_factor: float = 1.0
    linear_attn_beta_factor: float = 1.0
    mlp_alpha_factor: float = 1.0
    mlp_beta_factor: float = 1.0

    num_experts = Alias[int]("num_local_experts")
