from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import always
from hf_config.record import Alias, Record, completed, record
from hf_config.rope import RopeParameters


@record
class DbrxAttentionConfig(Record):
    """How DBRX attends; its files give the base of rotation here."""

    OMIT_NULL: ClassVar[bool] = True

    attn_pdrop: float = 0.0
    clip_qkv: float | None = None
    kv_n_heads: int = 1
    rope_theta: float | None = None


@record
class DbrxFFNConfig(Record):
    """DBRX's mixture of experts."""

    ffn_act_fn: Mapping[str, str | float] = field(default_factory=lambda: {"name": "silu"})
    ffn_hidden_size: int = 3584
    moe_num_experts: int = 4
    moe_top_k: int = 1
    moe_jitter_eps: float | None = None
    moe_loss_weight: float = 0.01
    moe_normalize_expert_weights: float | None = 1.0


def _kv_heads(config: "DbrxConfig") -> int:
    return config.attn_config.kv_n_heads


def _rope(config: "DbrxConfig", given: object, absorbed: Mapping[str, object]) -> object:
    theta = absorbed.get("rope_theta", config.attn_config.rope_theta)
    return given or {"rope_theta": 10000.0 if theta is None else theta}


@record
class DbrxConfig(PreTrainedConfig):
    """DBRX: a fine-grained mixture of experts with clipped projections."""

    model_type: ClassVar[str] = "dbrx"

    d_model: int = 2048
    n_heads: int = 16
    n_layers: int = 24
    max_seq_len: int = 2048
    vocab_size: int = 32000
    resid_pdrop: float = 0.0
    emb_pdrop: float = 0.0
    attn_config: DbrxAttentionConfig = field(default_factory=DbrxAttentionConfig)
    ffn_config: DbrxFFNConfig = field(default_factory=DbrxFFNConfig)
    initializer_range: float = 0.02
    output_router_logits: bool = False
    rope_parameters: RopeParameters = completed(_rope, absorbs=("rope_theta",))
    tie_word_embeddings: bool = False
    num_key_value_heads: int = always(_kv_heads)

    num_attention_heads = Alias[int]("n_heads")
    hidden_size = Alias[int]("d_model")
    num_hidden_layers = Alias[int]("n_layers")
    max_position_embeddings = Alias[int]("max_seq_len")
