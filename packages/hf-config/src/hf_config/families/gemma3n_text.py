from collections.abc import Mapping
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, every
from hf_config.record import completed, derived, record
from hf_config.rope import RopeParameters, layered_rope


def _widths(config: "Gemma3nTextConfig", given: object, absorbed: Mapping[str, object]) -> object:
    width = 16384 if given is None else given
    return width if isinstance(width, (list, tuple)) else [width] * config.num_hidden_layers


def _sparsity(config: "Gemma3nTextConfig") -> tuple[float, ...]:
    sparse = 10 if config.num_hidden_layers > 10 else 0
    return (0.95,) * sparse + (0.0,) * (config.num_hidden_layers - sparse)


@record
class Gemma3nTextConfig(PreTrainedConfig):
    """Gemma 3n text: alternating predictions, per-layer embeddings and sparse activations."""

    model_type: ClassVar[str] = "gemma3n_text"

    vocab_size: int = 262400
    hidden_size: int = 2048
    intermediate_size: tuple[int, ...] = completed(_widths)
    num_hidden_layers: int = 35
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    head_dim: int = 256
    hidden_activation: Activation = "gelu_pytorch_tanh"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    pad_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        theta_keys={"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"},
        scaled=("full_attention",),
        sliding_attention=RopeParameters(rope_theta=10000.0),
        full_attention=RopeParameters(rope_theta=1000000.0),
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    sliding_window: int = 512
    layer_types: tuple[LayerType, ...] = every(5)
    final_logit_softcapping: float = 30.0
    vocab_size_per_layer_input: int = 262144
    hidden_size_per_layer_input: int = 256
    altup_active_idx: int = 0
    altup_coef_clip: float = 120.0
    altup_correct_scale: bool = True
    altup_num_inputs: int = 4
    num_kv_shared_layers: int = 15
    laurel_rank: int = 64
    activation_sparsity_pattern: tuple[float, ...] = derived(_sparsity)
