"""One description of who may look at whom, in the form that an attention backend wants.

B batch, T queries, S keys. A `Mask` is the cheapest true statement: nothing is hidden, plain causal, or a
boolean tensor. Rules see a token's order in its row (an index that counts padding), whether it is real, and
which packed sequence it belongs to; they do not know how a cache stores keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never, final

import torch
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.spec import Bidirectional, BidirectionalWindow, Causal, Chunk, MaskRule, Window


@final
@dataclass(frozen=True, slots=True)
class Mask:
    """`allowed` (B or 1, 1, T, S) is True where a query may look; None with `causal` False hides nothing.

    `causal` (only when `allowed` is None, and T equals S) hides keys after the query.
    """

    allowed: Tensor | None = None
    causal: bool = False

    def dense(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """`allowed` written out as a tensor, or None if nothing is hidden."""
        if not self.causal:
            return self.allowed
        return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]


OPEN = Mask()
CAUSAL = Mask(causal=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The tokens of one step, as rules see them. A leading axis of 1 stands for every row.

    `key_valid_BS` None: all keys are real. Segments None: one sequence per row. `start` is the order of the
    first real token of the row or segment, for queries and keys; None: 0. Tokens of one block (a number from 0)
    see each other whatever the rule says; blocks None: there are none.
    """

    query_order_BT: Tensor
    key_order_BS: Tensor
    key_valid_BS: Tensor | None = None
    query_segment_BT: Tensor | None = None
    key_segment_BS: Tensor | None = None
    query_block_BT: Tensor | None = None
    key_block_BS: Tensor | None = None
    query_start_BT: Tensor | None = None
    key_start_BS: Tensor | None = None


def allowed(rule: MaskRule, rows: Rows) -> Tensor:
    """Which keys each query may look at, (B or 1, 1, T, S) bool.

    A padding token that would see nothing sees itself, so that no row of a softmax is empty; what it computes
    is never looked at by a real one.
    """
    q_BT1, k_B1S = rows.query_order_BT[:, :, None], rows.key_order_BS[:, None, :]
    match rule:
        case Causal():
            may = k_B1S <= q_BT1
        case Window(size=size):
            may = (k_B1S <= q_BT1) & (k_B1S > q_BT1 - size)
        case Chunk(size=size):
            q_start = 0 if rows.query_start_BT is None else rows.query_start_BT[:, :, None]
            k_start = 0 if rows.key_start_BS is None else rows.key_start_BS[:, None, :]
            may = (k_B1S <= q_BT1) & ((k_B1S - k_start) // size == (q_BT1 - q_start) // size)
        case Bidirectional():
            may = torch.ones_like(k_B1S, dtype=torch.bool)
        case BidirectionalWindow(size=size):
            may = (k_B1S - q_BT1).abs() < size
        case _:
            assert_never(rule)
    if rows.query_block_BT is not None and rows.key_block_BS is not None:
        block_BT1 = rows.query_block_BT[:, :, None]
        may = may | ((block_BT1 == rows.key_block_BS[:, None, :]) & (block_BT1 >= 0))
    if rows.query_segment_BT is not None and rows.key_segment_BS is not None:
        may = may & (rows.query_segment_BT[:, :, None] == rows.key_segment_BS[:, None, :])
    if rows.key_valid_BS is not None:
        may = may & rows.key_valid_BS[:, None, :]
        may = may | (~may.any(-1, keepdim=True) & (k_B1S == q_BT1))
    return may.unsqueeze(1)


def window_of(rule: MaskRule) -> int | None:
    """How many of the latest keys a rule can ever look at while reading left to right; None: all."""
    match rule:
        case Window(size=size) | Chunk(size=size):
            return size
        case Causal() | Bidirectional() | BidirectionalWindow():
            return None
        case _:
            assert_never(rule)


def segments(position_ids_BT: Tensor) -> Tensor | None:
    """Number the packed sequences in each row: a new one starts where positions do not go up by one.

    Returns (B, T) ids counting from 0, or None when no row holds more than one sequence.
    """
    breaks_BT = position_ids_BT[:, 1:] != position_ids_BT[:, :-1] + 1
    if not bool(breaks_BT.any()):
        return None
    first_B1 = breaks_BT.new_zeros(position_ids_BT.shape[0], 1)
    return torch.cat((first_B1, breaks_BT), dim=1).cumsum(1)


def packed_position_ids(cu_seqlens: Tensor) -> Tensor:
    """`position_ids` (1, T) that say where sequences packed into one row begin.

    `cu_seqlens` (sequences + 1,) are their cumulative lengths, from 0 to T, as flash attention takes them.

    Raises:
        InputError: not one increasing row of integers that starts with 0.
    """
    lengths = cu_seqlens.diff()
    if cu_seqlens.ndim != 1 or int(cu_seqlens[0]) != 0 or bool((lengths <= 0).any()):
        raise InputError(
            f"cu_seqlens {cu_seqlens.tolist()} are not cumulative lengths of packed sequences",
            fix="give 0, then each sequence's end, increasing, as one row of integers",
        )
    starts = torch.repeat_interleave(cu_seqlens[:-1], lengths)
    return (torch.arange(starts.shape[0], device=cu_seqlens.device) - starts)[None]


def segment_starts(segments_BT: Tensor) -> Tensor:
    """For each token, the order at which its packed sequence begins, (B, T)."""
    order_BT = torch.arange(segments_BT.shape[1], device=segments_BT.device).expand_as(segments_BT)
    begins_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    begins_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    return torch.where(begins_BT, order_BT, 0).cummax(dim=1).values
