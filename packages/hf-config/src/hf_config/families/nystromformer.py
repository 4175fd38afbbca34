from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.record import record


@record
class NystromformerConfig(PreTrainedConfig):
    """Nystromformer: attention approximated through landmarks."""

    model_type: ClassVar[str] = "nystromformer"

    vocab_size: int = 30000
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: Activation = "gelu_new"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 510
    type_vocab_size: int = 2
    segment_means_seq_len: int = 64
    num_landmarks: int = 64
    conv_kernel_size: int = 65
    inv_coeff_init_option: bool = False
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-05
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
