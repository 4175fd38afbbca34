from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class GPTNeoXConfig(PreTrainedConfig):
    """GPT-NeoX and Pythia: attention and MLP side by side, a quarter of each head rotated."""

    model_type: ClassVar[str] = "gpt_neox"

    vocab_size: int = 50432
    hidden_size: int = 6144
    num_hidden_layers: int = 44
    num_attention_heads: int = 64
    intermediate_size: int = 24576
    hidden_act: Activation = "gelu"
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0
    classifier_dropout: float = 0.1
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    use_parallel_residual: bool = True
    rope_parameters: RopeParameters = rope(
        partial=0.25, theta_key="rotary_emb_base", partial_key="rotary_pct"
    )
    attention_bias: bool = True
    is_decoder: bool = False
