from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class AriaTextConfig(PreTrainedConfig):
    """Aria text: Llama with experts and shared experts."""

    model_type: ClassVar[str] = "aria_text"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 4096
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 2
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int = derived(head_dim)
    moe_num_experts: int = 8
    moe_topk: int = 2
    moe_num_shared_experts: int = 2
