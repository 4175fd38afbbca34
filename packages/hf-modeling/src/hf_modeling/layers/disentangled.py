"""Attention over contents and distances apart (DeBERTa).

B batch, T tokens, S the same tokens as keys, D width, N heads, H features of a head, R distances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.cache import State
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Linear, Mixer, together
from hf_modeling.spec import DisentangledAttention, DistanceTable

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class DisentangledAttentionLayer(Mixer):
    """Attention whose scores also say what a token makes of a distance, and a distance of a token.

    Projections of distances are None where the family has no such term, or takes those of contents.
    """

    scoring: Scoring

    def __init__(
        self, spec: DisentangledAttention, table: DistanceTable | None, scoring: Scoring, width: int
    ) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.q_proj = Linear(width, inner, bias=True)
        self.k_proj = Linear(width, inner, bias=spec.key_bias)
        self.v_proj = Linear(width, inner, bias=True)
        self.o_proj = Linear(inner, width, bias=True)
        terms = spec.terms if table is not None else ()
        self.to_position, self.to_content = "content_to_position" in terms, "position_to_content" in terms
        own = spec.projections == "own"
        self.pos_k_proj = (
            Linear(width, inner, bias=spec.distance_key_bias) if own and self.to_position else None
        )
        self.pos_q_proj = Linear(width, inner, bias=True) if own and self.to_content else None
        self.heads, self.scoring, self.table = spec.heads, scoring, table
        self.distance_dropout = spec.distance_dropout
        self.states: Mapping[str, State] = {}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        q_BNTH, k_BNSH, v_BNSH = (
            self._heads(x) for x in together(x_BTD, self.q_proj, self.k_proj, self.v_proj)
        )
        bias = self._bias(q_BNTH, k_BNSH, step)
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        mixed = attend(q_BNTH, k_BNSH, v_BNSH, step.mask(scoring.rule), bias, None, dropout)
        mixed_BTE: Tensor = mixed.transpose(1, 2).flatten(2)
        return self.o_proj(mixed_BTE)

    def _heads(self, x_BTE: Tensor) -> Tensor:
        return x_BTE.view(*x_BTE.shape[:2], self.heads, -1).transpose(1, 2)

    def _bias(self, q_BNTH: Tensor, k_BNSH: Tensor, step: Step) -> Tensor | None:
        """What distances add to the scores, (B, N, T, S)."""
        table = self.table
        if table is None or not (self.to_position or self.to_content):
            return None
        assert step.relative is not None, "a stack with such layers makes a table of distances"
        distances_RD = nn.functional.dropout(step.relative, self.distance_dropout, self.training)
        rows_TS = step.once(("rows of distances", table), lambda: rows(table, step.new, step.device))
        index = rows_TS.expand(*q_BNTH.shape[:2], -1, -1)
        bias: Tensor | None = None
        if self.to_position:
            p_NRH = self._heads((self.pos_k_proj or self.k_proj)(distances_RD)[None])[0]
            bias = torch.gather(q_BNTH @ p_NRH.mT, -1, index)
        if self.to_content:
            p_NRH = self._heads((self.pos_q_proj or self.q_proj)(distances_RD)[None])[0]
            # Looked up from the key's side, and turned to the query's.
            to_content = torch.gather(k_BNSH @ p_NRH.mT, -1, index.mT).mT
            bias = to_content if bias is None else bias + to_content
        assert bias is not None
        return bias * self.scoring.eager.scale


def rows(table: DistanceTable, tokens: int, device: torch.device) -> Tensor:
    """The row of each distance from query to key in a table of 2 * span, (T, S)."""
    order_T = torch.arange(tokens, device=device)
    back_TS = order_T[:, None] - order_T
    if table.buckets is not None:
        back_TS = log_bucket(back_TS, table.buckets, table.max_distance)
    return (back_TS + table.span).clamp(0, 2 * table.span - 1)


def log_bucket(back: Tensor, buckets: int, max_distance: int) -> Tensor:
    """Distances as they are up to half of `buckets`, then by the logarithm, with their sign (DeBERTa v2)."""
    middle = buckets // 2
    distance = back.abs().clamp(min=middle - 1).float()
    whole = torch.log(torch.tensor((max_distance - 1) / middle, device=back.device))  # in single precision
    log = torch.log(distance / middle) / whole * (middle - 1)
    far = (torch.ceil(log) + middle).long() * back.sign()
    return torch.where(back.abs() <= middle, back, far)
