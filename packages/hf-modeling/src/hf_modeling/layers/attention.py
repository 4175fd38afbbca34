"""Self-attention over projected heads, with or without keys and values of its own.

B batch, T new tokens, S visible tokens, D width, N query heads, K key heads, H features of queries and keys,
V features of values. Heads are (B, T, N, H) while they are shaped, (B, N, T, H) for the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.cache import State
from hf_modeling.layers.activation import Unary
from hf_modeling.layers.alibi import Bias
from hf_modeling.layers.attend import Attend, EagerAttend, Recording
from hf_modeling.layers.base import Layer, Linear, Mixer, parameter, together
from hf_modeling.layers.block_index import BlockIndexer
from hf_modeling.layers.heads import Stage
from hf_modeling.layers.relative import BucketBiasLayer
from hf_modeling.spec import MaskRule

if TYPE_CHECKING:
    from hf_modeling.step import Step


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How queries meet keys: the backend in use, the written-out one that can show weights, and their mask."""

    attend: Attend
    eager: EagerAttend
    rule: MaskRule
    alibi: Bias | None = None
    sinks: bool = False
    dropout: float = 0.0


@final
class AttentionLayer(Mixer):
    """Attention with its own keys and values; `v_proj` None takes the raw keys as values.

    `query_stages`, `key_stages` and `value_stages` are applied in order to the projected heads. `shared` is
    True where later layers borrow this one's keys and values.
    """

    scoring: Scoring

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int,
        layer: int,
        scoring: Scoring,
        states: Mapping[str, State],
        *,
        qkv_bias: bool,
        output_bias: bool,
        value_is_key: bool,
        sinks: bool,
        shared: bool,
    ) -> None:
        super().__init__()
        self.q_proj = Linear(width, heads * head_dim, bias=qkv_bias)
        self.k_proj = Linear(width, kv_heads * head_dim, bias=qkv_bias)
        self.v_proj = None if value_is_key else Linear(width, kv_heads * value_dim, bias=qkv_bias)
        self.o_proj = Linear(heads * value_dim, width, bias=output_bias)
        self.sinks = parameter(heads) if sinks else None
        self.gate_proj: Linear | None = None
        self.gate_bias: nn.Parameter | None = None
        self.gate_activation: Unary = torch.sigmoid
        self.attn_sub_norm: Layer | None = None
        self.indexer: BlockIndexer | None = None
        self.relative_bias: BucketBiasLayer | None = None
        self.query_stages: tuple[Stage, ...] = ()
        self.key_stages: tuple[Stage, ...] = ()
        self.value_stages: tuple[Stage, ...] = ()
        self.heads, self.kv_heads, self.layer = heads, kv_heads, layer
        self.scoring, self.states, self.shared = scoring, states, shared

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        B, T, _ = x_BTD.shape
        if self.v_proj is None:
            q_BTE, k_BTE = together(x_BTD, self.q_proj, self.k_proj)
            v_BTE = k_BTE
        else:
            q_BTE, k_BTE, v_BTE = together(x_BTD, self.q_proj, self.k_proj, self.v_proj)
        q_BTNH = q_BTE.view(B, T, self.heads, -1)
        k_BTKH, v_BTKV = k_BTE.view(B, T, self.kv_heads, -1), v_BTE.view(B, T, self.kv_heads, -1)
        for stage in self.query_stages:
            q_BTNH = stage(q_BTNH, step)
        for stage in self.key_stages:
            k_BTKH = stage(k_BTKH, step)
        for stage in self.value_stages:
            v_BTKV = stage(v_BTKV, step)
        k_BKSH, v_BKSV = k_BTKH.transpose(1, 2), v_BTKV.transpose(1, 2)
        cache = step.cache
        if cache is not None:
            k_BKSH = cache.extend(self.layer, "key", k_BKSH)
            v_BKSV = cache.extend(self.layer, "value", v_BKSV)
        if self.shared:
            step.shared[self.layer] = (k_BKSH, v_BKSV)
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        rule, alibi = scoring.rule, scoring.alibi
        mask = step.mask(rule) if self.indexer is None else self.indexer(x_BTD, rule, step)
        bias = None if alibi is None else alibi(step, rule)
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        q_BNTH = q_BTNH.transpose(1, 2)
        mixed_BTNV = attend(q_BNTH, k_BKSH, v_BKSV, mask, bias, self.sinks, dropout).transpose(1, 2)
        if self.gate_proj is not None:
            mixed_BTNV = gated(mixed_BTNV, self.gate_proj(x_BTD), self.gate_bias, self.gate_activation)
        y_BTE = mixed_BTNV.reshape(B, T, -1)
        if self.attn_sub_norm is not None:
            y_BTE = self.attn_sub_norm(y_BTE)
        return self.o_proj(y_BTE)

    def init_weights(self, std: float) -> None:
        if self.sinks is not None:
            nn.init.normal_(self.sinks, std=std)
        if self.gate_bias is not None:
            nn.init.zeros_(self.gate_bias)


@final
class BorrowingAttentionLayer(Mixer):
    """Attention to the keys and values of an earlier layer; it has neither projections of them nor memory."""

    scoring: Scoring

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        value_dim: int,
        source: int,
        scoring: Scoring,
        *,
        qkv_bias: bool,
        output_bias: bool,
        sinks: bool,
    ) -> None:
        super().__init__()
        self.q_proj = Linear(width, heads * head_dim, bias=qkv_bias)
        self.o_proj = Linear(heads * value_dim, width, bias=output_bias)
        self.sinks = parameter(heads) if sinks else None
        self.gate_proj: Linear | None = None
        self.gate_bias: nn.Parameter | None = None
        self.gate_activation: Unary = torch.sigmoid
        self.attn_sub_norm: Layer | None = None
        self.relative_bias: BucketBiasLayer | None = None
        self.query_stages: tuple[Stage, ...] = ()
        self.heads, self.source, self.scoring = heads, source, scoring
        self.states: Mapping[str, State] = {}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BTNH = self.q_proj(x_BTD).view(B, T, self.heads, -1)
        for stage in self.query_stages:
            q_BTNH = stage(q_BTNH, step)
        k_BKSH, v_BKSV = step.shared[self.source]
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        mask = step.mask(scoring.rule)
        bias = None if scoring.alibi is None else scoring.alibi(step, scoring.rule)
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        q_BNTH = q_BTNH.transpose(1, 2)
        mixed_BTNV = attend(q_BNTH, k_BKSH, v_BKSV, mask, bias, self.sinks, dropout).transpose(1, 2)
        if self.gate_proj is not None:
            mixed_BTNV = gated(mixed_BTNV, self.gate_proj(x_BTD), self.gate_bias, self.gate_activation)
        y_BTE = mixed_BTNV.reshape(B, T, -1)
        if self.attn_sub_norm is not None:
            y_BTE = self.attn_sub_norm(y_BTE)
        return self.o_proj(y_BTE)

    def init_weights(self, std: float) -> None:
        if self.sinks is not None:
            nn.init.normal_(self.sinks, std=std)
        if self.gate_bias is not None:
            nn.init.zeros_(self.gate_bias)


def gated(mixed_BTNV: Tensor, gate: Tensor, bias_N: Tensor | None, activation: Unary) -> Tensor:
    """Mixed values times an activated gate, one number for each feature or for each head."""
    gate_BTNx = gate.view(*mixed_BTNV.shape[:3], -1)
    if bias_N is not None:
        gate_BTNx = gate_BTNx + bias_N[:, None]
    return mixed_BTNV * activation(gate_BTNx)
