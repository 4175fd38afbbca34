"""Attention to a window around each token and to a few global ones (Longformer), in time linear in the text.

B batch, T tokens, S the same tokens as keys, D width, N heads, H features of a head, G global tokens of a row at
most, C chunks of W queries, K keys that a chunk sees: three chunks and the global ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.cache import State
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Linear, Mixer, together
from hf_modeling.masks import Mask
from hf_modeling.spec import GlobalWindowAttention

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class GlobalWindowLayer(Mixer):
    """Attention of each token to its surroundings and to global tokens, and of these to all."""

    scoring: Scoring

    def __init__(self, spec: GlobalWindowAttention, scoring: Scoring, width: int) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.q_proj = Linear(width, inner, bias=True)
        self.k_proj = Linear(width, inner, bias=True)
        self.v_proj = Linear(width, inner, bias=True)
        self.o_proj = Linear(inner, width, bias=True)
        self.global_q_proj = Linear(width, inner, bias=True)
        self.global_k_proj = Linear(width, inner, bias=True)
        self.global_v_proj = Linear(width, inner, bias=True)
        self.heads, self.reach, self.scoring = spec.heads, spec.reach, scoring
        self.states: Mapping[str, State] = {}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        q, k, v = (self._heads(x) for x in together(x_BTD, self.q_proj, self.k_proj, self.v_proj))
        valid_BT = _valid(step)
        marked_BT = step.more.get("global_attention_mask")
        global_BT = None if marked_BT is None else marked_BT.bool() & valid_BT
        if global_BT is not None and not bool(global_BT.any()):
            global_BT = None
        if step.attentions is not None or step.new <= 3 * self.reach:
            mixed_BNTH, weights = self._whole(q, k, v, valid_BT, global_BT, step)
        else:
            mixed_BNTH, weights = self._chunked(q, k, v, valid_BT, global_BT), None
        if global_BT is not None:
            mixed_BNTH = self._from_global(x_BTD, mixed_BNTH, valid_BT, global_BT, weights)
        if step.attentions is not None and weights is not None:
            step.attentions.append(weights)
        mixed_BTE: Tensor = mixed_BNTH.transpose(1, 2).flatten(2)
        return self.o_proj(mixed_BTE)

    def _heads(self, x_BTE: Tensor) -> Tensor:
        return x_BTE.view(*x_BTE.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
        dropout = self.scoring.dropout if self.training else 0.0
        return self.scoring.attend(q, k, v, Mask(allowed), None, None, dropout)

    def _whole(
        self, q: Tensor, k: Tensor, v: Tensor, valid_BT: Tensor, global_BT: Tensor | None, step: Step
    ) -> tuple[Tensor, Tensor | None]:
        """Every score of a short text; with the weights (B, N, T, S) where they are asked for."""
        order_T = torch.arange(step.new, device=step.device)
        seen_BTS = ((order_T[:, None] - order_T).abs() <= self.reach)[None]
        if global_BT is not None:
            seen_BTS = seen_BTS | global_BT[:, None, :]
        allowed = _never_empty(seen_BTS & valid_BT[:, None, :], order_T[:, None] == order_T)[:, None]
        if step.attentions is None:
            return self._attend(q, k, v, allowed), None
        weights = self.scoring.eager.weights(q, k, Mask(allowed), None, None)
        return self.scoring.eager.mix(weights, v, self.scoring.dropout if self.training else 0.0), weights

    def _chunked(self, q: Tensor, k: Tensor, v: Tensor, valid_BT: Tensor, global_BT: Tensor | None) -> Tensor:
        """The same, chunk by chunk: each sees the chunk before it, itself, the one after it and global tokens."""
        B, N, T, H = q.shape
        W = self.reach
        C = -(-T // W)
        end = C * W - T
        order_CWK = self._distances(q.device)
        q_RNWH = F.pad(q, (0, 0, 0, end)).view(B, N, C, W, H).transpose(1, 2).reshape(B * C, N, W, H)
        near_BT = valid_BT if global_BT is None else valid_BT & ~global_BT
        near_BCK = F.pad(near_BT, (W, W + end)).unfold(1, 3 * W, W)
        seen = (order_CWK.abs() <= W) & near_BCK[:, :, None, :]
        keys, values = (
            F.pad(x, (0, 0, W, W + end))
            .unfold(2, 3 * W, W)
            .permute(0, 2, 1, 4, 3)
            .reshape(B * C, N, 3 * W, H)
            for x in (k, v)
        )
        itself = (order_CWK == 0).expand_as(seen)
        if global_BT is not None:
            index_BG, real_BG = _gathered(global_BT)
            G = index_BG.shape[1]
            rows = index_BG[:, None, :, None].expand(-1, N, -1, H)
            keys, values = (
                torch.cat((near, x.gather(2, rows).repeat_interleave(C, 0)), dim=2)
                for near, x in ((keys, k), (values, v))
            )
            seen = torch.cat((seen, real_BG[:, None, None, :].expand(B, C, W, G)), dim=-1)
            itself = F.pad(itself, (0, G))
        allowed = _never_empty(seen, itself).flatten(0, 1)[:, None]
        mixed = self._attend(q_RNWH, keys, values, allowed)
        return mixed.view(B, C, N, W, H).transpose(1, 2).reshape(B, N, C * W, H)[:, :, :T]

    def _distances(self, device: torch.device) -> Tensor:
        """How far each of three chunks' keys is from each query of the middle one, (1, 1, W, 3 W)."""
        keys, queries = (torch.arange(n, device=device) for n in (3 * self.reach, self.reach))
        return (keys - self.reach - queries[:, None])[None, None]

    def _from_global(
        self, x_BTD: Tensor, mixed_BNTH: Tensor, valid_BT: Tensor, global_BT: Tensor, weights: Tensor | None
    ) -> Tensor:
        """The mixture with global tokens' rows replaced: these look at all keys."""
        index_BG, real_BG = _gathered(global_BT)
        x_BGD = x_BTD.gather(1, index_BG[..., None].expand(-1, -1, x_BTD.shape[-1]))
        q_BNGH = self._heads(self.global_q_proj(x_BGD))
        k_BNSH, v_BNSH = self._heads(self.global_k_proj(x_BTD)), self._heads(self.global_v_proj(x_BTD))
        allowed = (valid_BT[:, None, :] | ~real_BG[:, :, None])[:, None]
        found_BNGH = self._attend(q_BNGH, k_BNSH, v_BNSH, allowed)
        rows, heads = real_BG.nonzero(as_tuple=True), slice(None)
        place = (rows[0], heads, index_BG[rows])
        mixed_BNTH = mixed_BNTH.clone()
        mixed_BNTH[place] = found_BNGH[rows[0], :, rows[1]]
        if weights is not None:
            weights[place] = self.scoring.eager.weights(q_BNGH, k_BNSH, Mask(allowed), None, None)[
                rows[0], :, rows[1]
            ]
        return mixed_BNTH


def _valid(step: Step) -> Tensor:
    """Which tokens are real, (B, T)."""
    if step.new_valid_BT is not None:
        return step.new_valid_BT
    return torch.ones(step.batch, step.new, dtype=torch.bool, device=step.device)


def _never_empty(seen: Tensor, itself: Tensor) -> Tensor:
    """The same, but that a padding token that would see nothing sees itself."""
    return seen | (itself & ~seen.any(-1, keepdim=True))


def _gathered(global_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row's global tokens are, (B, G), and which of these G there are."""
    count_B = global_BT.sum(1)
    index_BG = (~global_BT).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(count_B.max())]
    real_BG = torch.arange(index_BG.shape[1], device=index_BG.device) < count_B[:, None]
    return index_BG, real_BG
