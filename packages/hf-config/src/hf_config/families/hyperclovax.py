from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, head_dim, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


def _attention_scale(config: "HyperCLOVAXConfig") -> float:
    return float(config.head_dim**-0.5)


@record
class HyperCLOVAXConfig(PreTrainedConfig):
    """HyperCLOVA X: Granite with optional norms after each part."""

    model_type: ClassVar[str] = "hyperclovax"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    head_dim: int = derived(head_dim)
    use_post_norm: bool = True
    attention_multiplier: float = derived(_attention_scale)
