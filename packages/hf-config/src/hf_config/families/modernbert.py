from collections.abc import Mapping
from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation
from hf_config.layers import LayerType, starting
from hf_config.record import record
from hf_config.rope import RopeParameters, layered_rope


@record
class ModernBertConfig(PreTrainedConfig):
    """ModernBERT: rotary positions, windowed layers and fused gates in an encoder."""

    model_type: ClassVar[str] = "modernbert"

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: Activation = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0
    norm_eps: float = 1e-05
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | tuple[int, ...] | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: tuple[LayerType, ...] = starting(3, key="global_attn_every_n_layers")
    rope_parameters: Mapping[str, RopeParameters] = layered_rope(
        theta_keys={"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"},
        scaled=("full_attention", "sliding_attention"),
        sliding_attention=RopeParameters(rope_theta=10000.0),
        full_attention=RopeParameters(rope_theta=160000.0),
    )
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: Literal["cls", "mean"] = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: Activation = "gelu"
    tie_word_embeddings: bool = True

    @property
    def sliding_window(self) -> int:
        """How far a windowed layer looks to each side: half of `local_attention`."""
        return self.local_attention // 2
