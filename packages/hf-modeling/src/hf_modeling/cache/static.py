"""`StaticCache`: memory for a fixed number of tokens, taken once; every decoding step has the same shapes.

B batch, N heads, T new tokens, C capacity, W window, H features.

Where to write is a tensor, not a number of Python's, so a captured or compiled step can be run again for the
next token. Keys not yet written are returned with order -1, and the step's mask hides them.
"""

from __future__ import annotations

from typing import Self, final

import torch
from torch import Tensor

from hf_modeling.cache.states import Layout, Replace, Ring
from hf_modeling.errors import CacheError


@final
class StaticCache:
    """A cache for at most `capacity` tokens of `batch` rows.

    Args:
        layout: what the model remembers, from `model.cache_layout`.
        batch: rows.
        capacity: tokens a row can have, padding included.
        dtype: element type of keys and values.
        device: where they live.
        slack: how many of the latest tokens `crop` can always take back from layers with a window.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        slack: int = 0,
    ) -> None:
        if batch < 1 or capacity < 1:
            raise CacheError(
                f"a cache of {batch} rows and {capacity} tokens holds nothing", fix="give at least 1"
            )
        self.layout, self.slack = layout, slack
        self.length = 0
        self.valid_BS: Tensor | None = None
        self._batch, self._capacity, self._dtype = batch, capacity, dtype
        self._device = torch.device(device)
        with torch.inference_mode(False):
            self._offset = torch.zeros(1, dtype=torch.long, device=device)
            self._next_B1 = torch.zeros(batch, 1, dtype=torch.long, device=device)
            self._buffers: list[dict[str, Tensor]] = [
                {
                    name: torch.zeros(batch, s.heads, self._slots(s), s.features, dtype=dtype, device=device)
                    for name, s in states.items()
                    if not isinstance(s, Replace)
                }
                for states in layout
            ]
        self._values: list[dict[str, Tensor]] = [{} for _ in layout]

    def _slots(self, state: object) -> int:
        window = state.window + self.slack if isinstance(state, Ring) else self._capacity
        return min(window, self._capacity)

    @property
    def capacity(self) -> int | None:
        """Tokens a row can have."""
        return self._capacity

    @property
    def next_position_B1(self) -> Tensor | None:
        """Each row's next position."""
        return self._next_B1

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns the whole buffer, and for several tokens of a window what it held before.

        Raises:
            CacheError: more tokens than there is room for.
        """
        new = new_BNTH.shape[2]
        if self.length + new > self._capacity:
            raise CacheError(
                f"the cache has room for {self._capacity} tokens, holds {self.length}, and {new} more came",
                fix=f"make it with capacity={self.length + new} or more",
            )
        buffer = self._buffers[layer][name]
        order_T = self.query_order(new, new_BNTH.device)
        slots = buffer.shape[2]
        if slots == self._capacity:
            return buffer.index_copy_(2, order_T, new_BNTH)
        if new == 1:
            return buffer.index_copy_(2, order_T % slots, new_BNTH)
        # Several tokens may push out what the first of them still looks at.
        visible = torch.cat((buffer, new_BNTH), dim=2)
        kept = min(new, slots)
        buffer.index_copy_(2, order_T[-kept:] % slots, new_BNTH[:, :, -kept:])
        return visible

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state; None before the first `put`."""
        return self._values[layer].get(name)

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state, in place when there is one."""
        held = self._values[layer].get(name)
        if held is None:
            with torch.inference_mode(False):
                self._values[layer][name] = value.clone()
        elif held is not value:
            held.copy_(value)

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written, (T,)."""
        return self._offset + torch.arange(new, device=self._device)

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns in this step, -1 where nothing is written."""
        slots = self._capacity if window is None else min(window + self.slack, self._capacity)
        if slots == self._capacity:
            order_C = torch.arange(slots, device=self._device)
            return torch.where(order_C < self._offset + new, order_C, -1)
        if new == 1:
            return self._ring_order(slots, self._offset + 1)
        return torch.cat((self._ring_order(slots, self._offset), self.query_order(new, device)))

    def _ring_order(self, slots: int, length: Tensor) -> Tensor:
        """Order of the token in each slot of a ring after `length` tokens."""
        last = length - 1
        order = last - (last - torch.arange(slots, device=self._device)) % slots
        return torch.where(order >= 0, order, -1)

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """End a step of `new` tokens."""
        self.length += new
        self.valid_BS = valid_BS
        self._offset += new
        if next_position_B1 is None:
            self._next_B1 += new
        else:
            self._next_B1.copy_(next_position_B1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens seen so far, padding included."""
        return self.length

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens, or the last `-length` if it is negative.

        Raises:
            CacheError: a window or a recurrent state no longer holds what came before.
        """
        after = max(0, self.length + length) if length < 0 else length
        if after >= self.length:
            return
        if after > 0 and any(self._values):
            raise CacheError(
                f"cannot go back from {self.length} to {after} tokens: recurrent layers keep their last state only",
                fix="clone() the cache before the tokens that may be taken back",
            )
        removed = self.length - after
        if after > 0 and removed > self.slack and self._has_lost_tokens():
            raise CacheError(
                f"cannot go back from {self.length} to {after} tokens: layers with a window forgot some",
                fix=f"make the cache with slack={removed} or more",
            )
        gone = (
            removed if self.valid_BS is None else self.valid_BS[:, after : self.length].sum(1, keepdim=True)
        )
        self._next_B1 -= gone
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS.index_fill(
                1, torch.arange(after, self._capacity, device=self._device), True
            )
        self._offset.fill_(after)
        self.length = after
        if after == 0:
            self.reset()

    def reset(self) -> None:
        """Forget everything; the memory is kept for the next batch."""
        self.length, self.valid_BS = 0, None
        self._offset.zero_()
        self._next_B1.zero_()
        self._values = [{} for _ in self.layout]

    def fixed(self) -> list[Tensor]:
        """The tensors that stay where they are for as long as the cache lives."""
        held = [tensor for layer in self._buffers for tensor in layer.values()]
        return [self._offset, self._next_B1, *held]

    def _has_lost_tokens(self) -> bool:
        """Whether any ring is shorter than what was written to it."""
        return any(
            b.shape[2] < min(self.length, self._capacity) for layer in self._buffers for b in layer.values()
        )

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat. The number of rows stays the same."""
        if rows_B.shape[0] != self._batch:
            self._resize(rows_B)
            return
        for layer in (*self._buffers, *self._values):
            for held in layer.values():
                held.copy_(held.index_select(0, rows_B))
        self._next_B1.copy_(self._next_B1.index_select(0, rows_B))
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS.index_select(0, rows_B)

    def _resize(self, rows_B: Tensor) -> None:
        with torch.inference_mode(False):
            for layers in (self._buffers, self._values):
                for layer in layers:
                    for name, held in layer.items():
                        layer[name] = held.index_select(0, rows_B)
            self._next_B1 = self._next_B1.index_select(0, rows_B)
            if self.valid_BS is not None:
                self.valid_BS = self.valid_BS.index_select(0, rows_B)
        self._batch = rows_B.shape[0]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        self._resize(torch.arange(self._batch, device=self._device).repeat_interleave(repeats))

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(held.nbytes for layer in (*self._buffers, *self._values) for held in layer.values())

    def clone(self) -> Self:
        """An independent copy."""
        copy = type(self)(
            self.layout,
            batch=self._batch,
            capacity=self._capacity,
            dtype=self._dtype,
            device=self._device,
            slack=self.slack,
        )
        copy.advance(self.length, self.valid_BS, self._next_B1)
        with torch.inference_mode(False):
            copy._buffers = [{name: held.clone() for name, held in layer.items()} for layer in self._buffers]
            copy._values = [{name: held.clone() for name, held in layer.items()} for layer in self._values]
        return copy
