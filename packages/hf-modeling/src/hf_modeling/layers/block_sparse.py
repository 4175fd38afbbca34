"""Attention of blocks of tokens to some blocks (BigBird), in time linear in the text.

B batch, T tokens, D width, N heads, H features of a head, C blocks of W tokens, M blocks that are neither first
nor last, S blocks that such a block sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.cache import State
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Linear, Mixer, together
from hf_modeling.masks import Mask
from hf_modeling.spec import BlockSparseAttention

if TYPE_CHECKING:
    from hf_modeling.step import Step

ALWAYS = 5
"""The first block, the one before, the block itself, the one after, the last."""


@final
class BlockSparseLayer(Mixer):
    """Attention of each block to the first, the last, its neighbours and `drawn` more; short texts see all.

    Blocks are counted from a row's first token, padding or not, as checkpoints were trained.
    """

    scoring: Scoring

    def __init__(self, spec: BlockSparseAttention, scoring: Scoring, width: int, layer: int) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.q_proj = Linear(width, inner, bias=spec.bias)
        self.k_proj = Linear(width, inner, bias=spec.bias)
        self.v_proj = Linear(width, inner, bias=spec.bias)
        self.o_proj = Linear(inner, width, bias=True)
        self.heads, self.block, self.drawn, self.layer = spec.heads, spec.block, spec.drawn, layer
        self.scoring = scoring
        self.states: Mapping[str, State] = {}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        q, k, v = (self._heads(x) for x in together(x_BTD, self.q_proj, self.k_proj, self.v_proj))
        if step.new <= (ALWAYS + 2 * self.drawn) * self.block:
            mixed = self._attend(q, k, v, step.mask(self.scoring.rule), None, step)
        else:
            mixed = self._sparse(q, k, v, step)
        mixed_BTE: Tensor = mixed.transpose(1, 2).flatten(2)
        return self.o_proj(mixed_BTE)

    def _heads(self, x_BTE: Tensor) -> Tensor:
        return x_BTE.view(*x_BTE.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask, bias: Tensor | None, step: Step) -> Tensor:
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        return attend(q, k, v, mask, bias, None, dropout)

    def _sparse(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        B, N, T, H = q.shape
        W, C = self.block, -(-T // self.block)
        rest = C * W - T
        q, k, v = (F.pad(x, (0, 0, 0, rest)) for x in (q, k, v))
        valid_BT = F.pad(_valid(step), (0, rest))
        index_NMS, kept_NMS = self._seen_blocks(C, q.device)
        M, S = index_NMS.shape[1:]
        head_N11 = torch.arange(N, device=q.device)[:, None, None]

        def chosen(x_BNTH: Tensor) -> Tensor:
            """What each inner block sees, (B M, N, S W, H)."""
            blocks = x_BNTH.view(B, N, C, W, H)[:, head_N11, index_NMS]
            return blocks.transpose(1, 2).reshape(B * M, N, S * W, H)

        real = valid_BT.view(B, C, W)[:, index_NMS] & kept_NMS[..., None]
        seen = _never_empty(real.transpose(1, 2).reshape(B * M, N, 1, S * W))
        inner_q = q.view(B, N, C, W, H)[:, :, 1:-1].transpose(1, 2).reshape(B * M, N, W, H)
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        inner = scoring.attend(inner_q, chosen(k), chosen(v), Mask(seen), self._repeats(S, q), None, dropout)
        outer_q = torch.cat((q[:, :, :W], q[:, :, -W:]), dim=2)
        outer = scoring.attend(
            outer_q, k, v, Mask(_never_empty(valid_BT[:, None, None])), None, None, dropout
        )
        inner = inner.view(B, M, N, W, H).transpose(1, 2).reshape(B, N, M * W, H)
        return torch.cat((outer[:, :, :W], inner, outer[:, :, W:]), dim=2)[:, :, :T]

    def _seen_blocks(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Which blocks each inner one sees, (N, M, S), and which of these are not there twice."""
        own_M = torch.arange(1, count - 1)
        index_MS = torch.stack(
            (torch.zeros_like(own_M), own_M - 1, own_M, own_M + 1, torch.full_like(own_M, count - 1)), dim=1
        )
        kept_MS = torch.ones_like(index_MS, dtype=torch.bool)
        kept_MS[0, 1] = kept_MS[-1, 3] = False
        index_NMS, kept_NMS = (x.expand(self.heads, -1, -1) for x in (index_MS, kept_MS))
        if self.training and self.drawn:
            drawn = self._draw(count, index_MS)
            index_NMS = torch.cat((index_NMS, drawn), dim=-1)
            kept_NMS = F.pad(kept_NMS, (0, self.drawn), value=True)
        return index_NMS.to(device), kept_NMS.to(device)

    def _draw(self, count: int, seen_MS: Tensor) -> Tensor:
        """Blocks that are not seen anyway, drawn for each head and block, the same in every call, (N, M, drawn)."""
        generator = torch.Generator().manual_seed(self.layer)
        chances = torch.rand(self.heads, seen_MS.shape[0], count, generator=generator)
        chances.scatter_(2, seen_MS.expand(self.heads, -1, -1), -1.0)
        return chances.topk(self.drawn, dim=-1).indices

    def _repeats(self, seen: int, like: Tensor) -> Tensor | None:
        """What it adds to the first block's scores that its keys count once more for each block not drawn."""
        if self.training or not self.drawn:
            return None
        bias_K = torch.zeros(seen * self.block, dtype=like.dtype, device=like.device)
        bias_K[: self.block] = math.log(1 + self.drawn)
        return bias_K[None, None, None]


def _valid(step: Step) -> Tensor:
    """Which tokens are real, (B, T)."""
    if step.new_valid_BT is not None:
        return step.new_valid_BT
    return torch.ones(step.batch, step.new, dtype=torch.bool, device=step.device)


def _never_empty(seen: Tensor) -> Tensor:
    """The same, but that padding which would see nothing sees everything."""
    return seen | ~seen.any(-1, keepdim=True)
