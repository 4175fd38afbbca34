from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class InternLM3Config(PreTrainedConfig):
    """InternLM 3: Llama with optional biases on every projection."""

    model_type: ClassVar[str] = "internlm3"

    vocab_size: int = 128512
    hidden_size: int = 4096
    intermediate_size: int = 10240
    num_hidden_layers: int = 48
    num_attention_heads: int = 32
    num_key_value_heads: int = 2
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    pad_token_id: int | None = 2
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int = 128

    qkv_bias = Alias[bool]("attention_bias")
    bias = Alias[bool]("mlp_bias")
