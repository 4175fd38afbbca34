"""An index over blocks of keys: each key head looks at the blocks whose best key scores highest.

B batch, T new tokens, S visible tokens, D width, I heads of the index (one for each key head), H features of
an index head, C blocks, N query heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.layers.base import Layer, Linear
from hf_modeling.layers.rope import Rotary
from hf_modeling.masks import Mask
from hf_modeling.spec import BlockIndex, MaskRule

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class BlockIndexer(nn.Module):
    """Chooses blocks of keys for each query, by position: padding does not move them."""

    def __init__(
        self, spec: BlockIndex, norms: tuple[Layer, Layer], rotary: Rotary, width: int, heads: int, layer: int
    ) -> None:
        super().__init__()
        self.q_proj = Linear(width, spec.heads * spec.head_dim)
        self.k_proj = Linear(width, spec.head_dim)
        self.q_norm, self.k_norm = norms
        self.rotary, self.layer = rotary, layer
        self.heads, self.queries_each = spec.heads, heads // spec.heads
        self.block, self.top, self.local = spec.block, spec.top_blocks, spec.local_blocks

    if TYPE_CHECKING:

        def __call__(self, x_BTD: Tensor, rule: MaskRule, step: Step) -> Mask: ...

    @torch.no_grad()
    def forward(self, x_BTD: Tensor, rule: MaskRule, step: Step) -> Mask:
        """What each query head may look at; the rule's own mask while every block is among the best."""
        B, T, _ = x_BTD.shape
        q_BTIH = self.rotary.rotate(self.q_norm(self.q_proj(x_BTD).view(B, T, self.heads, -1)), step)
        k_B1SH = self.rotary.rotate(self.k_norm(self.k_proj(x_BTD)).unsqueeze(2), step).transpose(1, 2)
        if step.cache is not None:
            k_B1SH = step.cache.extend(self.layer, "index_key", k_B1SH)
        S, mask = k_B1SH.shape[2], step.mask(rule)
        blocks = -(-S // self.block)
        if blocks <= self.top:
            return mask
        allowed = mask.dense(T, S, x_BTD.device)
        visible = torch.ones(1, 1, T, S, dtype=torch.bool, device=x_BTD.device)
        if allowed is not None:
            visible = allowed if allowed.dtype is torch.bool else allowed >= 0
        scores_BITS = q_BTIH.transpose(1, 2).float() @ k_B1SH.float().transpose(-1, -2)
        scores_BITS = scores_BITS.masked_fill(~visible, float("-inf"))
        block_BITS = (step.key_positions(rule).clamp(min=0) // self.block)[:, None, None].expand_as(
            scores_BITS
        )
        best_BITC = scores_BITS.new_full((B, self.heads, T, blocks), float("-inf"))
        best_BITC = best_BITC.scatter_reduce(-1, block_BITS, scores_BITS, "amax")
        kept_BITC = self._kept(best_BITC, step.positions_BT // self.block)
        chosen_BITS = kept_BITC.gather(-1, block_BITS) & visible
        return Mask(chosen_BITS.repeat_interleave(self.queries_each, dim=1))

    def _kept(self, best_BITC: Tensor, block_BT: Tensor) -> Tensor:
        """The best blocks that hold anything to see; a query's own and those just before it always count."""
        before = torch.arange(self.local, device=best_BITC.device)
        local_BITL = (block_BT[..., None] - before).clamp(min=0)[:, None]
        local_BITL = local_BITL.expand(*best_BITC.shape[:3], -1)
        ranked_BITC = best_BITC.scatter(-1, local_BITL, float("inf"))
        top = ranked_BITC.topk(self.top, dim=-1)
        kept_BITC = torch.zeros_like(best_BITC, dtype=torch.bool)
        return kept_BITC.scatter(-1, top.indices, top.values > float("-inf"))
