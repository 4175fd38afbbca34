from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


def _heads(config: "JetMoeConfig") -> int:
    return config.num_key_value_heads * config.num_experts_per_tok


@record
class JetMoeConfig(PreTrainedConfig):
    """JetMoE: experts in the MLP and in attention, which share their keys."""

    model_type: ClassVar[str] = "jetmoe"

    vocab_size: int = 32000
    hidden_size: int = 2048
    num_hidden_layers: int = 12
    num_key_value_heads: int = 16
    kv_channels: int = 128
    intermediate_size: int = 5632
    max_position_embeddings: int = 4096
    activation_function: Activation = "silu"
    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    output_router_logits: bool = False
    aux_loss_coef: float = 0.01
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    rms_norm_eps: float = 1e-06
    initializer_range: float = 0.01
    attention_dropout: float = 0.0
    num_attention_heads: int = always(_heads)

    head_dim = Alias[int]("kv_channels")
