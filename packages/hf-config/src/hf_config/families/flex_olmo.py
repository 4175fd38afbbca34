from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


@record
class FlexOlmoConfig(PreTrainedConfig):
    """FlexOlmo: OLMo 2 with a mixture of experts in every layer."""

    model_type: ClassVar[str] = "flex_olmo"

    vocab_size: int = 100352
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 100277
    eos_token_id: int | tuple[int, ...] | None = 100257
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(theta=500000.0)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    num_experts_per_tok: int = 5
    num_experts: int = 7
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.01
    norm_topk_prob: bool = False

    num_local_experts = Alias[int]("num_experts")
