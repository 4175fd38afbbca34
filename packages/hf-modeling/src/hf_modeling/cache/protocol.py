"""The joint between mixers and caches: what every kind of cache offers, and nothing about how it stores it.

B batch, N heads, T new tokens, S tokens visible to them, H features.

Order is a token's index in the row's history, counting padding: 0, 1, 2, ... It decides who may see whom.
Positions (what rope and learned positions read) skip padding and are the step's business, not the cache's.
"""

from __future__ import annotations

from typing import Protocol, Self

import torch
from torch import Tensor

from hf_modeling.cache.states import Layout


class Cache(Protocol):
    """Remembers mixers' states between calls of one model on one batch."""

    layout: Layout

    @property
    def length(self) -> int:
        """Tokens seen so far, padding included. Does not change while a step runs."""
        ...

    @property
    def valid_BS(self) -> Tensor | None:
        """Which of the tokens seen are real; None when all are."""
        ...

    @property
    def next_position_B1(self) -> Tensor | None:
        """Each row's next position; None when it is `length` for every row."""
        ...

    @property
    def capacity(self) -> int | None:
        """None: grows. A number: keys have this shape at every step, unwritten ones included (order -1).

        Then nothing in a step depends on `length`: `next_position_B1` is never None, and `valid_BS`, if any,
        is (B, capacity) with True for tokens to come.
        """
        ...

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens of an append or ring state; returns all (B, N, S, H) the new queries may look at."""
        ...

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state; None before the first `put`."""
        ...

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state."""
        ...

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written, (T,) or (B, T)."""
        ...

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns in this step, (S,) or (B, S), -1 where nothing is written.

        `window` is that of the ring state asked about, None for append states.
        """
        ...

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """End a step of `new` tokens: `length` grows by them. `valid_BS` covers old and new tokens."""
        ...

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """`length`, under the peer's name."""
        ...

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens (a negative number: forget that many).

        Raises:
            CacheError: a ring or replace state no longer holds what came before.
        """
        ...

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was: beam search. Rows may repeat or be left out."""
        ...

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        ...

    def nbytes(self) -> int:
        """Bytes of memory held."""
        ...

    def clone(self) -> Self:
        """An independent copy: a prompt computed once, continued many times."""
        ...
