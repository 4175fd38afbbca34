"""Which tokens of a sequence each rank of `cp` holds, and how a batch falls into these parts.

B batch, T tokens of one rank, S tokens of all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from hf_modeling.masks import Rows, segment_starts, segments
from hf_modeling.step import Step
from hf_parallel.collectives import all_gathered
from hf_parallel.errors import LayoutMismatchError, Problem

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from hf_parallel.step import Batch


@final
@dataclass(frozen=True, slots=True)
class ContextOrder:
    """Tokens by rank: neighbouring chunks, or `balance`d, a chunk from each end, so that causal work is even."""

    ways: int
    balance: bool = True

    @property
    def chunks(self) -> int:
        """Into how many equal chunks a sequence falls."""
        return 2 * self.ways if self.balance and self.ways > 1 else self.ways

    def of_rank(self, rank: int, length: int, device: torch.device | None = None) -> Tensor:
        """Where this rank's tokens are in a sequence of `length`, (T,)."""
        chunks = torch.arange(length, device=device).chunk(self.chunks)
        if self.chunks == self.ways:
            return chunks[rank]
        return torch.cat((chunks[rank], chunks[self.chunks - 1 - rank]))

    def of_all(self, length: int, device: torch.device | None = None) -> Tensor:
        """Where the tokens of all ranks are, rank after rank, (S,)."""
        return torch.cat([self.of_rank(rank, length, device) for rank in range(self.ways)])

    def part(self, batch: Batch, rank: int) -> Batch:
        """A rank's tokens of a batch, with the positions they have in the whole.

        Raises:
            LayoutMismatchError: sequences that do not fall into equal chunks.
        """
        if self.ways == 1:
            return batch
        length = batch.input_ids.shape[1]
        if length % self.chunks:
            raise LayoutMismatchError(
                f"{length} tokens do not fall into {self.chunks} chunks for cp={self.ways}",
                [
                    Problem(
                        where="the sequence",
                        rule="ranks of cp hold equal parts",
                        instead=f"pad to a multiple of {self.chunks}",
                    )
                ],
                fix=f"pad sequences to a multiple of {self.chunks}, for example with pad_to_multiple_of",
            )
        mine = self.of_rank(rank, length, batch.input_ids.device)
        positions_BS = batch.position_ids
        if positions_BS is None:
            positions_BS = _counted(batch)
        return replace(
            batch,
            input_ids=batch.input_ids[:, mine],
            targets=batch.targets[:, mine],
            attention_mask=None if batch.attention_mask is None else batch.attention_mask[:, mine],
            position_ids=positions_BS[:, mine],
        )


def _counted(batch: Batch) -> Tensor:
    """The positions that a model gives tokens when it is told none: each row's real tokens counted."""
    length, mask_BS = batch.input_ids.shape[1], batch.attention_mask
    order_S = torch.arange(length, device=batch.input_ids.device)
    if mask_BS is None or bool(mask_BS.bool().all()):
        return order_S[None]
    valid_BS = mask_BS.bool()
    first_B1 = valid_BS.int().argmax(1, keepdim=True)
    return torch.where(valid_BS, valid_BS.cumsum(1) - 1, order_S - first_B1).clamp(min=0)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What one step's tokens know of all ranks' tokens.

    rows: this rank's tokens as queries, all tokens as keys, rank after rank.
    natural: all tokens as queries and as keys, in the order of the sequence.
    order_S: where the tokens of all ranks are, rank after rank; plain: there is neither padding nor packing.
    """

    rows: Rows
    natural: Rows
    order_S: Tensor
    plain: bool


def look_around(step: Step, order: ContextOrder, group: ProcessGroup) -> Sight:
    """Learn from the other ranks where their tokens are, and which of them are real. Once a step."""
    length = step.new * order.ways
    order_S = order.of_all(length, step.device)
    positions_BT = step.positions_BT.expand(step.batch, -1)
    real_BT = step.new_valid_BT
    told = torch.stack((positions_BT, torch.ones_like(positions_BT) if real_BT is None else real_BT.long()))
    all_BS = torch.empty_like(gathered := all_gathered(told, 2, group))
    all_BS[:, :, order_S] = gathered
    positions_BS, valid_BS = all_BS[0], all_BS[1].bool()
    if bool(valid_BS.all()):
        valid, packed_BS = None, segments(positions_BS)
    else:
        valid, packed_BS = valid_BS, None
    starts = None if packed_BS is None else segment_starts(packed_BS)
    if valid is not None:
        starts = valid.int().argmax(1, keepdim=True)
    natural = Rows(
        query_order_BT=torch.arange(length, device=step.device)[None],
        key_order_BS=torch.arange(length, device=step.device)[None],
        key_valid_BS=valid,
        query_segment_BT=packed_BS,
        key_segment_BS=packed_BS,
        query_start_BT=starts,
        key_start_BS=starts,
    )
    mine = order_S[group.rank() * step.new : (group.rank() + 1) * step.new]
    return Sight(
        rows=_picked(natural, mine, order_S),
        natural=natural,
        order_S=order_S,
        plain=valid is None and packed_BS is None,
    )


def _picked(rows: Rows, queries: Tensor, keys: Tensor) -> Rows:
    """Some tokens as queries and some as keys, of rows that list them all."""

    def pick(values: Tensor | None, index: Tensor) -> Tensor | None:
        # One number for each row of tokens (where it starts) stands for all its tokens.
        return values if values is None or values.shape[1] == 1 < index.shape[0] else values[:, index]

    query_order, key_order = pick(rows.query_order_BT, queries), pick(rows.key_order_BS, keys)
    assert query_order is not None, "rows have an order"
    assert key_order is not None, "rows have an order"
    return Rows(
        query_order_BT=query_order,
        key_order_BS=key_order,
        key_valid_BS=pick(rows.key_valid_BS, keys),
        query_segment_BT=pick(rows.query_segment_BT, queries),
        key_segment_BS=pick(rows.key_segment_BS, keys),
        query_start_BT=pick(rows.query_start_BT, queries),
        key_start_BS=pick(rows.key_start_BS, keys),
    )


def keys_of(rows: Rows, first: int, last: int) -> Rows:
    """The same queries with only some of the keys, counted as listed."""
    span = torch.arange(first, last, device=rows.key_order_BS.device)
    every = torch.arange(rows.query_order_BT.shape[1], device=span.device)
    return _picked(rows, every, span)
