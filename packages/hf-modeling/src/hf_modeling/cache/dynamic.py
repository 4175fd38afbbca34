"""`DynamicCache`: grows with the text. What a model uses when nothing else is asked for.

B batch, N heads, T new tokens, S visible tokens, H features.

Tokens are written into buffers with room to spare, which grow by a share of their size, so a token costs the
same to add at any length. Writing starts at the cache's length, not at a length of the buffer's own: a step
that fails half way is simply written over. Where gradients are recorded nothing is written in place.
"""

from __future__ import annotations

from typing import Self, final

import torch
from torch import Tensor

from hf_modeling.cache.states import Append, Layout, Replace, Ring
from hf_modeling.errors import CacheError

ROOM = 64
"""Least number of tokens of spare room when a buffer is made or grown."""


def _empty(like_BNTH: Tensor, tokens: int) -> Tensor:
    """Uninitialised (B, N, tokens, H); usable outside inference mode even when made inside it."""
    B, N, _, H = like_BNTH.shape
    with torch.inference_mode(False):
        return torch.empty(B, N, tokens, H, dtype=like_BNTH.dtype, device=like_BNTH.device)


def _selected(buffer: Tensor, rows_B: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return buffer.index_select(0, rows_B)


def _copied(buffer: Tensor | None) -> Tensor | None:
    with torch.inference_mode(False):
        return None if buffer is None else buffer.clone()


@final
class _AppendBuffer:
    """All tokens of one append state."""

    __slots__ = ("buffer",)

    def __init__(self) -> None:
        self.buffer: Tensor | None = None

    def extend(self, new_BNTH: Tensor, past: int) -> Tensor:
        buffer = self.buffer
        if torch.is_grad_enabled() and (
            new_BNTH.requires_grad or (buffer is not None and buffer.requires_grad)
        ):
            kept = new_BNTH if buffer is None else torch.cat((buffer.narrow(2, 0, past), new_BNTH), dim=2)
            self.buffer = kept
            return kept
        new = new_BNTH.shape[2]
        total = past + new
        if buffer is None or buffer.shape[2] < total:
            buffer = self._grown(new_BNTH, past, total)
        buffer.narrow(2, past, new).copy_(new_BNTH)
        return buffer.narrow(2, 0, total)

    def _grown(self, like_BNTH: Tensor, past: int, total: int) -> Tensor:
        grown = _empty(like_BNTH, total + max(ROOM, total // 4))
        if self.buffer is not None:
            grown.narrow(2, 0, past).copy_(self.buffer.narrow(2, 0, past))
        self.buffer = grown
        return grown

    def rows(self, rows_B: Tensor, length: int) -> None:
        if self.buffer is not None:
            self.buffer = _selected(self.buffer.narrow(2, 0, length), rows_B)

    def crop(self, before: int, after: int) -> None:
        """Nothing to do: tokens beyond the cache's length are never read."""

    def clone(self) -> _AppendBuffer:
        copy = _AppendBuffer()
        copy.buffer = _copied(self.buffer)
        return copy

    def nbytes(self) -> int:
        return 0 if self.buffer is None else self.buffer.nbytes


@final
class _RingBuffer:
    """The last `keep` tokens of one ring state, in order, in a buffer they move along and wrap round rarely."""

    __slots__ = ("buffer", "keep", "origin")

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.buffer: Tensor | None = None
        self.origin = 0
        """Order of the token at the buffer's start."""

    def extend(self, new_BNTH: Tensor, past: int) -> Tensor:
        first = max(0, past - self.keep)  # order of the oldest token that is visible
        new = new_BNTH.shape[2]
        buffer = self.buffer
        if torch.is_grad_enabled() and (
            new_BNTH.requires_grad or (buffer is not None and buffer.requires_grad)
        ):
            old = None if buffer is None else buffer.narrow(2, first - self.origin, past - first)
            visible = new_BNTH if old is None else torch.cat((old, new_BNTH), dim=2)
            self.buffer, self.origin = visible, first
            return visible
        if new > self.keep:
            return self._replaced(new_BNTH, first, past)
        if buffer is None or past + new - self.origin > buffer.shape[2]:
            buffer = self._moved(new_BNTH, first, past, new)
        buffer.narrow(2, past - self.origin, new).copy_(new_BNTH)
        return buffer.narrow(2, first - self.origin, past + new - first)

    def _replaced(self, new_BNTH: Tensor, first: int, past: int) -> Tensor:
        """A long prompt is looked at whole, and only its last `keep` tokens are stored."""
        visible = new_BNTH
        if self.buffer is not None and past > first:
            visible = torch.cat((self.buffer.narrow(2, first - self.origin, past - first), new_BNTH), dim=2)
        stored = _empty(new_BNTH, self.keep + max(ROOM, self.keep))
        tail = new_BNTH.shape[2] - self.keep
        stored.narrow(2, 0, self.keep).copy_(new_BNTH.narrow(2, tail, self.keep))
        self.buffer, self.origin = stored, past + tail
        return visible

    def _moved(self, like_BNTH: Tensor, first: int, past: int, new: int) -> Tensor:
        """A buffer that starts with the oldest visible token and has room for the new ones and more."""
        moved = _empty(like_BNTH, past - first + new + max(ROOM, self.keep // 2))
        if self.buffer is not None:
            old = past - first
            moved.narrow(2, 0, old).copy_(self.buffer.narrow(2, first - self.origin, old))
        self.buffer, self.origin = moved, first
        return moved

    def rows(self, rows_B: Tensor, length: int) -> None:
        if self.buffer is not None:
            self.buffer = _selected(self.buffer.narrow(2, 0, length - self.origin), rows_B)

    def crop(self, before: int, after: int) -> None:
        if self.buffer is not None and max(0, after - self.keep) < self.origin:
            raise CacheError(
                f"cannot go back from {before} to {after} tokens: a layer with a window of {self.keep + 1} has "
                f"forgotten the tokens before {self.origin}",
                fix=f"make the cache with slack={before - after} or more",
            )

    def clone(self) -> _RingBuffer:
        copy = _RingBuffer(self.keep)
        copy.buffer, copy.origin = _copied(self.buffer), self.origin
        return copy

    def nbytes(self) -> int:
        return 0 if self.buffer is None else self.buffer.nbytes


_Buffer = _AppendBuffer | _RingBuffer


@final
class DynamicCache:
    """A cache that grows. Make one with `model.new_cache()`, or from a model's `cache_layout`.

    `slack`: how many of the latest tokens `crop` must always be able to take back from layers with a window
    (drafted tokens that turned out wrong); without windows any number can be taken back.
    """

    capacity: int | None = None

    def __init__(self, layout: Layout, *, slack: int = 0) -> None:
        self.layout = layout
        self.slack = slack
        self.length = 0
        self.valid_BS: Tensor | None = None
        self.next_position_B1: Tensor | None = None
        self._values: list[dict[str, Tensor]] = [{} for _ in layout]
        self._buffers: list[dict[str, _Buffer]] = [
            {name: self._buffer(state) for name, state in states.items() if not isinstance(state, Replace)}
            for states in layout
        ]

    def _buffer(self, state: Append | Ring) -> _Buffer:
        return _RingBuffer(state.window - 1 + self.slack) if isinstance(state, Ring) else _AppendBuffer()

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns all (B, N, S, H) that the new queries may look at, oldest first."""
        return self._buffers[layer][name].extend(new_BNTH, self.length)

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state; None before the first `put`."""
        return self._values[layer].get(name)

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state."""
        self._values[layer][name] = value

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written, (T,)."""
        return torch.arange(self.length, self.length + new, device=device)

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns in this step, (S,)."""
        first = 0 if window is None else max(0, self.length - (window - 1 + self.slack))
        return torch.arange(first, self.length + new, device=device)

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """End a step of `new` tokens."""
        self.length += new
        self.valid_BS = valid_BS
        self.next_position_B1 = next_position_B1

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens seen so far, padding included; the same for every layer."""
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
                f"cannot go back from {self.length} to {after} tokens: recurrent layers keep only their last state",
                fix="clone() the cache before the tokens that may be taken back",
            )
        for buffer in self._all_buffers():
            buffer.crop(self.length, after)
        removed = self.length - after
        if self.next_position_B1 is not None:
            gone = removed if self.valid_BS is None else self.valid_BS[:, after:].sum(1, keepdim=True)
            self.next_position_B1 = self.next_position_B1 - gone
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS[:, :after]
        self.length = after
        if after == 0:
            self.valid_BS = self.next_position_B1 = None
            self._values = [{} for _ in self.layout]

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat or be left out."""
        for buffer in self._all_buffers():
            buffer.rows(rows_B, self.length)
        self._values = [{k: v.index_select(0, rows_B) for k, v in layer.items()} for layer in self._values]
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS.index_select(0, rows_B)
        if self.next_position_B1 is not None:
            self.next_position_B1 = self.next_position_B1.index_select(0, rows_B)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        held = [b.buffer for b in self._all_buffers() if b.buffer is not None]
        held += [value for layer in self._values for value in layer.values()]
        if held:
            self.reorder(torch.arange(held[0].shape[0], device=held[0].device).repeat_interleave(repeats))

    def nbytes(self) -> int:
        """Bytes of memory held, spare room included."""
        values = sum(value.nbytes for layer in self._values for value in layer.values())
        return values + sum(buffer.nbytes() for buffer in self._all_buffers())

    def clone(self) -> Self:
        """An independent copy."""
        copy = type(self)(self.layout, slack=self.slack)
        copy.advance(self.length, self.valid_BS, self.next_position_B1)
        copy._values = [{name: value.clone() for name, value in layer.items()} for layer in self._values]
        copy._buffers = [{name: buffer.clone() for name, buffer in layer.items()} for layer in self._buffers]
        return copy

    def _all_buffers(self) -> list[_Buffer]:
        return [buffer for layer in self._buffers for buffer in layer.values()]
