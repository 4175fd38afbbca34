"""One description of who may look at whom, in the form that an attention backend wants.

B batch, T queries, S keys. A `Mask` is the cheapest true statement: nothing is hidden, plain causal, a rule
over rows of tokens, or a tensor. Backends that want a tensor get one written out once; those that skip hidden
blocks or tell packed sequences apart read the rule and the rows. Rules see a token's order in its row (an index
that counts padding), whether it is real, and which packed sequence it belongs to; they do not know how a cache
stores keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, assert_never, cast, final

import torch
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.spec import Bidirectional, BidirectionalWindow, Causal, Chunk, MaskRule, Window

T = TypeVar("T")


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


@final
@dataclass(slots=True)
class Mask:
    """`tensor` (B or 1, N or 1, T, S) is True where a query may look, or a number to add to its score.

    Without a tensor, `rows` are the tokens that `rule` tells apart; without either, `causal` (T equals S) hides
    keys after the query, and a mask of nothing hides nothing.
    """

    tensor: Tensor | None = None
    causal: bool = False
    rule: MaskRule | None = None
    rows: Rows | None = None
    _forms: dict[str, object] = field(default_factory=dict, compare=False)

    def form(self, backend: str, make: Callable[[], T]) -> T:
        """What `backend` makes of this mask, made when the first layer asks."""
        found = self._forms.get(backend)
        if found is None:
            found = self._forms[backend] = make()
        return cast("T", found)

    @property
    def allowed(self) -> Tensor | None:
        """The tensor, written out from the rule if need be; None where nothing or `causal` says it all."""
        if self.tensor is None and self.rule is not None and self.rows is not None:
            self.tensor = allowed(self.rule, self.rows)
        return self.tensor

    def dense(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """`allowed` for whoever needs a tensor for `causal` too; None if nothing is hidden."""
        if not self.causal:
            return self.allowed
        return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)[None, None]


OPEN = Mask()
CAUSAL = Mask(causal=True)


def allowed(rule: MaskRule, rows: Rows) -> Tensor:
    """Which keys each query may look at, (B or 1, 1, T, S) bool.

    A padding token that would see nothing sees itself, so that no row of a softmax is empty; what it computes
    is never looked at by a real one.
    """
    q_BT1, k_B1S = rows.query_order_BT[:, :, None], rows.key_order_BS[:, None, :]
    q_start = 0 if rows.query_start_BT is None else rows.query_start_BT[:, :, None]
    k_start = 0 if rows.key_start_BS is None else rows.key_start_BS[:, None, :]
    may = sees(rule, q_BT1, k_B1S, q_start, k_start)
    if rows.query_block_BT is not None and rows.key_block_BS is not None:
        block_BT1 = rows.query_block_BT[:, :, None]
        may = may | ((block_BT1 == rows.key_block_BS[:, None, :]) & (block_BT1 >= 0))
    if rows.query_segment_BT is not None and rows.key_segment_BS is not None:
        may = may & (rows.query_segment_BT[:, :, None] == rows.key_segment_BS[:, None, :])
    if rows.key_valid_BS is not None:
        may = may & rows.key_valid_BS[:, None, :]
        may = may | (~may.any(-1, keepdim=True) & (k_B1S == q_BT1))
    return may.unsqueeze(1)


def sees(rule: MaskRule, q: Tensor, k: Tensor, q_start: Tensor | int, k_start: Tensor | int) -> Tensor:
    """Whether the rule lets the query of order `q` look at the key of order `k`, for whatever shapes broadcast."""
    match rule:
        case Causal():
            return k <= q
        case Window(size=size):
            return (k <= q) & (k > q - size)
        case Chunk(size=size):
            return (k <= q) & ((k - k_start) // size == (q - q_start) // size)
        case Bidirectional():
            return torch.ones_like(k, dtype=torch.bool)
        case BidirectionalWindow(size=size):
            return (k - q).abs() < size
        case _:
            assert_never(rule)


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
