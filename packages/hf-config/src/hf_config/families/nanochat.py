from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class NanoChatConfig(PreTrainedConfig):
    """nanochat: norms without weights, a cap on the logits, squared ReLU."""

    model_type: ClassVar[str] = "nanochat"

    vocab_size: int = 50304
    hidden_size: int = 768
    intermediate_size: int = 8192
    num_hidden_layers: int = 12
    num_attention_heads: int = 6
    num_key_value_heads: int = derived(kv_heads)
    max_position_embeddings: int = 2048
    hidden_act: Activation = "relu2"
    attention_dropout: float = 0.0
    rms_norm_eps: float = 1e-06
    initializer_range: float = 0.02
    rope_parameters: RopeParameters = rope()
    final_logit_softcapping: float | None = 15.0
    attention_bias: bool = False
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    pad_token_id: int | None = 1
    tie_word_embeddings: bool = False
