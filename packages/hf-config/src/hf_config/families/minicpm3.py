from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, head_dim, qk_head_dim, rotated_dim
from hf_config.record import derived, record
from hf_config.rope import RopeParameters, rope


@record
class MiniCPM3Config(PreTrainedConfig):
    """MiniCPM 3: latent attention in a dense model with scaled embeddings and residuals."""

    model_type: ClassVar[str] = "minicpm3"

    vocab_size: int = 73448
    hidden_size: int = 2560
    intermediate_size: int = 6400
    num_hidden_layers: int = 62
    num_attention_heads: int = 40
    num_key_value_heads: int = 40
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.1
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    kv_lora_rank: int = 256
    q_lora_rank: int | None = 768
    qk_nope_head_dim: int = 64
    qk_rope_head_dim: int = 32
    v_head_dim: int = derived(head_dim)
    scale_emb: float = 12.0
    scale_depth: float = 1.4
    dim_model_base: int = 256
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)
