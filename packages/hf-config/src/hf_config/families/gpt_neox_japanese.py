from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class GPTNeoXJapaneseConfig(PreTrainedConfig):
    """Japanese GPT-NeoX: fully rotated heads and almost no biases."""

    model_type: ClassVar[str] = "gpt_neox_japanese"

    vocab_size: int = 32000
    hidden_size: int = 2560
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    intermediate_multiple_size: int = 4
    hidden_act: Activation = "gelu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    bos_token_id: int | None = 31996
    eos_token_id: int | tuple[int, ...] | None = 31999
    rope_parameters: RopeParameters = rope(partial=1.0, theta_key="rotary_emb_base", partial_key="rotary_pct")
    attention_dropout: float = 0.1
    hidden_dropout: float = 0.0
    is_decoder: bool = False
    tie_word_embeddings: bool = True
