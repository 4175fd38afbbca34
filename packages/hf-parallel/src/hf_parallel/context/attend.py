"""Attention over the tokens of all ranks of `cp`: three backends with the signature that all backends share.

They differ in what travels. `gather` brings all keys and values to every rank; `ring` passes them on from rank
to rank and keeps one neighbour's at a time; `ulysses` exchanges heads for tokens, so that each rank attends with
some heads over the whole sequence (arXiv 2309.14509).

B batch, N query heads, K key heads, T tokens of this rank, S of all, H and V features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.distributed import ProcessGroup

from hf_modeling.layers.attend import Attend, EagerAttend
from hf_modeling.masks import CAUSAL, Mask
from hf_modeling.spec import Causal, MaskRule
from hf_parallel.collectives import parts_to_whole, swap_parts
from hf_parallel.context.order import Sight
from hf_parallel.context.ring import RingAttention
from hf_parallel.errors import LayoutMismatchError, Problem

HEADS, TOKENS = 1, 2
"""Axes of (B, N, T, H)."""
SIGHT = "context"
"""Under which masks keep what was learnt of all ranks' tokens."""


def context_mask(rule: MaskRule, sight: Sight) -> Mask:
    """Who may look at whom among the tokens of all ranks; it carries what was learnt of them."""
    made = Mask(rule=rule, rows=sight.rows)
    made.form(SIGHT, lambda: sight)
    return made


def sight_of(mask: Mask) -> Sight:
    """What was learnt of all ranks' tokens."""

    def unknown() -> Sight:
        raise AssertionError("a layer was given a mask over this rank's tokens only")

    return mask.form(SIGHT, unknown)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class GatherAttend:
    """Every rank gets all keys and values, and any backend does the rest."""

    inner: Attend
    group: ProcessGroup

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        keys = parts_to_whole(k_BKSH, TOKENS, self.group, "summands")
        values = parts_to_whole(v_BKSV, TOKENS, self.group, "summands")
        return self.inner(q_BNTH, keys, values, mask, bias, sinks_N, dropout)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RingAttend:
    """Keys and values travel around the ring of ranks; each adds what it sees to a running softmax."""

    eager: EagerAttend
    group: ProcessGroup

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        assert bias is None, "layouts with biases by distance are refused"
        assert dropout == 0.0, "layouts with dropout on scores are refused"
        sinks = q_BNTH.new_empty(0) if sinks_N is None else sinks_N
        function: type[Function] = RingAttention  # torch leaves `apply` unannotated
        return cast("Tensor", function.apply(q_BNTH, k_BKSH, v_BKSV, sinks, mask, self.eager, self.group))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class UlyssesAttend:
    """Ranks exchange tokens for heads, attend over whole sequences with their own heads, and exchange back."""

    inner: Attend
    group: ProcessGroup

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        ways, sight = self.group.size(), sight_of(mask)
        heads, kv_heads = q_BNTH.shape[HEADS], k_BKSH.shape[HEADS]
        if heads % ways:
            raise _too_few_heads(heads, ways)
        if kv_heads % ways:  # key heads that several ranks need are sent to each of them
            k_BKSH, v_BKSV = (x.repeat_interleave(heads // kv_heads, HEADS) for x in (k_BKSH, v_BKSV))
        order_S = sight.order_S
        back_S = torch.argsort(order_S)
        q, k, v = (swap_parts(x, HEADS, TOKENS, self.group)[:, :, back_S] for x in (q_BNTH, k_BKSH, v_BKSV))
        sinks = None if sinks_N is None else sinks_N.chunk(ways)[self.group.rank()]
        mixed = self.inner(q, k, v, mask.form("ulysses", lambda: _natural(mask, sight)), bias, sinks, dropout)
        return swap_parts(mixed[:, :, order_S], TOKENS, HEADS, self.group)


def _natural(mask: Mask, sight: Sight) -> Mask:
    """The mask of whole sequences in their own order."""
    if sight.plain and isinstance(mask.rule, Causal):
        return CAUSAL
    return Mask(rule=mask.rule, rows=sight.natural)


def _too_few_heads(heads: int, ways: int) -> LayoutMismatchError:
    return LayoutMismatchError(
        f"{heads} heads of a rank cannot be exchanged among cp={ways}",
        [Problem(where="attention", rule=f"{heads} heads / {ways}", instead="use the ring, or fewer ranks")],
        fix="pass context='ring'",
    )
