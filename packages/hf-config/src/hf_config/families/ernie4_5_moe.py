from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, completed, record
from hf_config.rope import RopeParameters, rope


def _last_layer(config: "Ernie4_5_MoeConfig", given: object, absorbed: Mapping[str, object]) -> object:
    return config.num_hidden_layers - 1 if given in (None, -1) else given


@record
class Ernie4_5_MoeConfig(PreTrainedConfig):
    """ERNIE 4.5 MoE: bias-corrected experts between given layers."""

    model_type: ClassVar[str] = "ernie4_5_moe"

    vocab_size: int = 103424
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    hidden_size: int = 2560
    intermediate_size: int = 12288
    num_hidden_layers: int = 28
    num_attention_heads: int = 20
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope(theta=500000.0)
    use_bias: bool = False
    moe_intermediate_size: int = 1536
    moe_k: int = 6
    moe_num_experts: int = 64
    moe_num_shared_experts: int = 2
    moe_layer_start_index: int = 1
    moe_layer_end_index: int = completed(_last_layer)
    moe_layer_interval: int = 1
    moe_norm_min: float = 1e-12
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001

    num_experts = Alias[int]("moe_num_experts")
    num_experts_per_tok = Alias[int]("moe_k")
