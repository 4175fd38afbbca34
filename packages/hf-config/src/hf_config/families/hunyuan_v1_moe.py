from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


@record
class HunYuanMoEV1Config(PreTrainedConfig):
    """Hunyuan 1 MoE: heads normalised after rotation, experts and a shared MLP."""

    model_type: ClassVar[str] = "hunyuan_v1_moe"

    vocab_size: int = 290943
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    eod_token_id: int | None = 3
    sep_token_id: int | None = 4
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    num_experts: int | tuple[int, ...] = 1
    output_router_logits: bool = False
    moe_topk: int | tuple[int, ...] = 1
    head_dim: int = derived(head_dim)

    num_experts_per_tok = Alias[int | tuple[int, ...]]("moe_topk")
    num_local_experts = Alias[int | tuple[int, ...]]("num_experts")
