"""Attention of long texts in chunks, in time linear in the text (LongT5, arXiv 2112.07916).

B batch, T tokens, D width, N heads, H features of a head, C chunks of L tokens, K keys that a chunk sees: its own
tokens, those of the chunks beside it, and G summaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.cache import State
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Layer, Linear, Mixer, parameter, together
from hf_modeling.layers.relative import RelativeLayer, bucket
from hf_modeling.masks import OPEN
from hf_modeling.spec import LocalAttention, LocalBias

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class LocalBiasLayer(RelativeLayer):
    """What every layer adds to its scores, (B * C, N, L, K): biases by distance, -inf for what is not seen."""

    def __init__(self, spec: LocalBias) -> None:
        super().__init__()
        self.weight = parameter(spec.buckets, spec.heads)
        self.block_weight = None if spec.block is None else parameter(spec.buckets, spec.heads)
        self.size, self.block, self.reach = spec.size, spec.block, spec.max_distance
        ahead = torch.arange(-self.reach, self.reach + 1, device="cpu")
        rows = bucket(ahead, spec.buckets, spec.max_distance, both_ways=True)
        self.register_buffer("rows", rows, persistent=False)

    if TYPE_CHECKING:
        rows: Tensor

    def forward(self, step: Step) -> Tensor:
        L = self.size
        keys_K, queries_L = (torch.arange(n, device=step.device) for n in (3 * L, L))
        ahead_LK = keys_K - L - queries_L[:, None]
        near_BCK = F.pad(real_tokens(step), (L, L + spare(step.new, L))).unfold(1, 3 * L, L)
        seen_BCLK = (ahead_LK.abs() < L) & near_BCK[:, :, None, :] | (ahead_LK == 0)
        bias_NLK = self.weight[self._rows(ahead_LK)].permute(2, 0, 1)
        bias_BCNLK = bias_NLK.masked_fill(~seen_BCLK[:, :, None], float("-inf"))
        if self.block is not None and self.block_weight is not None:
            bias_BCNLK = torch.cat(
                (bias_BCNLK, self._to_summaries(step, self.block, self.block_weight)), dim=-1
            )
        return bias_BCNLK.flatten(0, 1)

    def _to_summaries(self, step: Step, block: int, weight: Tensor) -> Tensor:
        """The part of the bias that summaries get, (B, C, N, L, G)."""
        blocks_BT = block_numbers(step, block)
        numbers_G = torch.arange(step.new // block, device=step.device)
        bias_BTGN = weight[self._rows(numbers_G - blocks_BT[..., None])]
        there_BG = numbers_G <= blocks_BT.amax(1, keepdim=True)
        bias_BTGN = bias_BTGN.masked_fill(~there_BG[:, None, :, None], float("-inf"))
        padded = F.pad(bias_BTGN, (0, 0, 0, 0, 0, spare(step.new, self.size)))
        chunks_BCLGN: Tensor = padded.unflatten(1, (-1, self.size))
        return chunks_BCLGN.permute(0, 1, 4, 2, 3)

    def _rows(self, ahead: Tensor) -> Tensor:
        return self.rows[ahead.clamp(-self.reach, self.reach) + self.reach]

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)
        if self.block_weight is not None:
            nn.init.normal_(self.block_weight, std=std)


@final
class LocalAttentionLayer(Mixer):
    """Attention to the chunks around each token and to summaries of the whole text."""

    scoring: Scoring

    def __init__(self, spec: LocalAttention, block_norm: Layer | None, scoring: Scoring, width: int) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.q_proj = Linear(width, inner)
        self.k_proj = Linear(width, inner)
        self.v_proj = Linear(width, inner)
        self.o_proj = Linear(inner, width)
        self.block_norm = block_norm
        self.block = 0 if spec.summaries is None else spec.summaries.block
        self.heads, self.size, self.scoring = spec.heads, spec.size, scoring
        self.states: Mapping[str, State] = {}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        B, T, _ = x_BTD.shape
        L, end = self.size, spare(T, self.size)
        q, k, v = (self._heads(x) for x in together(x_BTD, self.q_proj, self.k_proj, self.v_proj))
        C = (T + end) // L
        chunks = F.pad(q, (0, 0, 0, end)).unflatten(2, (C, L)).transpose(1, 2).flatten(0, 1)
        keys, values = self._around(k, end), self._around(v, end)
        if self.block_norm is not None:
            sums_BGD = self.block_norm(block_sums(x_BTD, block_numbers(step, self.block), T // self.block))
            more = (self._heads(x) for x in together(sums_BGD, self.k_proj, self.v_proj))
            keys, values = (
                torch.cat((near, whole.repeat_interleave(C, 0)), dim=2)
                for near, whole in zip((keys, values), more, strict=True)
            )
        weights: list[Tensor] = []
        attend = self.scoring.attend if step.attentions is None else Recording(self.scoring.eager, weights)
        dropout = self.scoring.dropout if self.training else 0.0
        mixed = attend(chunks, keys, values, OPEN, step.relative, None, dropout)
        if step.attentions is not None:
            step.attentions.append(weights[0].unflatten(0, (B, C)))
        y_BTNH = mixed.unflatten(0, (B, C)).transpose(2, 3).flatten(1, 2)[:, :T]
        return self.o_proj(y_BTNH.flatten(2))

    def _heads(self, x_BTE: Tensor) -> Tensor:
        return x_BTE.view(*x_BTE.shape[:2], self.heads, -1).transpose(1, 2)

    def _around(self, x_BNTH: Tensor, end: int) -> Tensor:
        """For each chunk its own tokens and those of the chunks beside it, (B * C, N, 3 L, H)."""
        L = self.size
        windows_BNCHK = F.pad(x_BNTH, (0, 0, L, L + end)).unfold(2, 3 * L, L)
        return windows_BNCHK.permute(0, 2, 1, 4, 3).flatten(0, 1)


def spare(tokens: int, size: int) -> int:
    """How many tokens the last chunk lacks."""
    return -tokens % size


def real_tokens(step: Step) -> Tensor:
    """Which of the new tokens are real, (B, T)."""
    if step.new_valid_BT is not None:
        return step.new_valid_BT
    return torch.ones(step.batch, step.new, dtype=torch.bool, device=step.device)


def block_numbers(step: Step, block: int) -> Tensor:
    """The block that each token belongs to, (B, T); -1 for padding, and where a row has no whole block.

    Blocks are counted from a row's first real token; tokens after the last whole block belong to it.
    """
    return step.once(("blocks", block), lambda: _block_numbers(step, block))


def _block_numbers(step: Step, block: int) -> Tensor:
    real_BT = real_tokens(step)
    last_B1 = real_BT.sum(1, keepdim=True) // block - 1
    numbers_BT = torch.minimum((real_BT.cumsum(1) - 1) // block, last_B1)
    return torch.where(real_BT, numbers_BT, -1)


def block_sums(x_BTD: Tensor, blocks_BT: Tensor, count: int) -> Tensor:
    """The sum of each block's states, (B, G, D)."""
    numbers_G1 = torch.arange(count, device=x_BTD.device)[:, None]
    member_BGT = blocks_BT[:, None, :] == numbers_G1
    return member_BGT.to(x_BTD.dtype) @ x_BTD
