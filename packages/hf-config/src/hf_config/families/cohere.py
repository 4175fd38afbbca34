from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class CohereConfig(PreTrainedConfig):
    """Command R: attention and MLP side by side under one norm, scaled logits."""

    model_type: ClassVar[str] = "cohere"

    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    logit_scale: float | None = 0.0625
    num_hidden_layers: int = 40
    num_attention_heads: int = 64
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 5
    eos_token_id: int | tuple[int, ...] | None = 255001
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope(theta=500000.0)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    use_qk_norm: bool = False
