from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import renamed
from hf_config.layers import LayerType, layer_types
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


def _kinds(config: "Lfm2Config") -> list[LayerType]:
    full = range(config.num_hidden_layers) if config.full_attn_idxs is None else config.full_attn_idxs
    return ["full_attention" if index in full else "conv" for index in range(config.num_hidden_layers)]


@record
class Lfm2Config(PreTrainedConfig):
    """LFM2: gated short convolutions with a few attention layers."""

    model_type: ClassVar[str] = "lfm2"

    vocab_size: int = 65536
    hidden_size: int = 2560
    intermediate_size: int = renamed("block_ff_dim", 12288)
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    max_position_embeddings: int = 128000
    initializer_range: float = 0.02
    norm_eps: float = 1e-05
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = renamed("tie_embedding", True)
    rope_parameters: RopeParameters = rope(theta=1000000.0)
    conv_bias: bool = False
    conv_L_cache: int = 3
    block_multiple_of: int = 256
    block_ffn_dim_multiplier: float = 1.0
    block_auto_adjust_ff_dim: bool = True
    full_attn_idxs: tuple[int, ...] | None = None
    layer_types: tuple[LayerType, ...] = layer_types(_kinds)
