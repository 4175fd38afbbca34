"""`DynamicCache`: grows with the text. What a model uses when nothing else is asked for.

B batch, N heads, T new tokens, S visible tokens, H features.

Tokens are written into buffers with room to spare, which grow by a share of their size, so a token costs the
same to add at any length. Writing starts at the cache's length, not at a length of the buffer's own, so a step
that fails half way is written over by the next. Where gradients are recorded nothing is written in place.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, final

import torch
from torch import Tensor

from hf_modeling.cache.states import Layout, Ring
from hf_modeling.errors import CacheError

ROOM: Final = 64
"""Least number of tokens of spare room when a buffer is made or grown."""
EVERYTHING: Final = sys.maxsize
"""How far back layers without a window look."""


def _selected(buffer: Tensor, rows_B: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return buffer.index_select(0, rows_B)


def _copied(buffer: Tensor | None) -> Tensor | None:
    with torch.inference_mode(False):
        return None if buffer is None else buffer.clone()


@final
@dataclass(slots=True)
class _Buffer:
    """The latest tokens of one state: those a query may look back to (`keep`), and whatever else still fits.

    tensor: (B, N, room, H); its first token has order `origin`.
    """

    keep: int
    tensor: Tensor | None = None
    origin: int = 0


@final
@dataclass(eq=False)
class DynamicCache:
    """A cache that grows. Make one with `model.new_cache()`, or from a model's `cache_layout`.

    `slack`: how many of the latest tokens `crop` must always be able to take back from layers with a window
    (drafted tokens that turned out wrong); without windows any number can be taken back.
    """

    capacity: ClassVar[int | None] = None

    layout: Layout
    slack: int = field(default=0, kw_only=True)
    length: int = field(default=0, init=False)
    valid_BS: Tensor | None = field(default=None, init=False)
    next_position_B1: Tensor | None = field(default=None, init=False)
    _values: dict[tuple[int, str], Tensor] = field(default_factory=dict, init=False, repr=False)
    _buffers: dict[tuple[int, str], _Buffer] = field(default_factory=dict, init=False, repr=False)

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns all (B, N, S, H) that the new queries may look at, oldest first."""
        past, new = self.length, new_BNTH.shape[2]
        buffer = self._buffers.get((layer, name))
        if buffer is None:
            state = self.layout[layer][name]
            keep = state.window - 1 + self.slack if isinstance(state, Ring) else EVERYTHING
            buffer = self._buffers[layer, name] = _Buffer(keep)
        tensor, keep, start = buffer.tensor, buffer.keep, past - buffer.origin
        first = max(0, start - keep)
        if not (tensor is None or start + new > tensor.shape[2] or new > keep or torch.is_grad_enabled()):
            tensor.narrow(2, start, new).copy_(new_BNTH)
            return tensor.narrow(2, first, start + new - first)
        old = None if tensor is None or start == first else tensor.narrow(2, first, start - first)
        visible = new_BNTH if old is None else torch.cat((old, new_BNTH), dim=2)
        if torch.is_grad_enabled() and visible.requires_grad:
            buffer.tensor, buffer.origin = visible, buffer.origin + first
            return visible
        # A prompt longer than the window is looked at whole, and only its end is stored.
        B, N, total, H = visible.shape
        stored = min(total, max(keep, 1))
        with torch.inference_mode(False):  # so that calls outside inference mode can write here
            buffer.tensor = visible.new_empty(B, N, stored + max(ROOM, stored // 4), H)
        buffer.tensor.narrow(2, 0, stored).copy_(visible.narrow(2, total - stored, stored))
        buffer.origin = past + new - stored
        return visible

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state; None before the first `put`."""
        return self._values.get((layer, name))

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state."""
        self._values[layer, name] = value

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
        if after > 0 and self._values:
            raise CacheError(
                f"cannot go back from {self.length} to {after} tokens: recurrent layers keep only their last state",
                fix="clone() the cache before the tokens that may be taken back",
            )
        for buffer in self._buffers.values():
            if buffer.tensor is not None and max(0, after - buffer.keep) < buffer.origin:
                raise CacheError(
                    f"cannot go back from {self.length} to {after} tokens: a layer with a window has forgotten "
                    f"the tokens before {buffer.origin}",
                    fix=f"make the cache with slack={self.length - after} or more",
                )
        removed = self.length - after
        if self.next_position_B1 is not None:
            gone = removed if self.valid_BS is None else self.valid_BS[:, after:].sum(1, keepdim=True)
            self.next_position_B1 = self.next_position_B1 - gone
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS[:, :after]
        self.length = after
        if after == 0:
            self.valid_BS = self.next_position_B1 = None
            self._values = {}

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat or be left out."""
        for buffer in self._buffers.values():
            if buffer.tensor is not None:
                buffer.tensor = _selected(buffer.tensor.narrow(2, 0, self.length - buffer.origin), rows_B)
        self._values = {key: value.index_select(0, rows_B) for key, value in self._values.items()}
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS.index_select(0, rows_B)
        if self.next_position_B1 is not None:
            self.next_position_B1 = self.next_position_B1.index_select(0, rows_B)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        held = [b.tensor for b in self._buffers.values() if b.tensor is not None]
        held += self._values.values()
        if held:
            self.reorder(torch.arange(held[0].shape[0], device=held[0].device).repeat_interleave(repeats))

    def nbytes(self) -> int:
        """Bytes of memory held, spare room included."""
        values = sum(value.nbytes for value in self._values.values())
        return values + sum(b.tensor.nbytes for b in self._buffers.values() if b.tensor is not None)

    def clone(self) -> Self:
        """An independent copy."""
        copy = type(self)(self.layout, slack=self.slack)
        copy.advance(self.length, self.valid_BS, self.next_position_B1)
        copy._values = {key: value.clone() for key, value in self._values.items()}
        copy._buffers = {
            key: _Buffer(b.keep, _copied(b.tensor), b.origin) for key, b in self._buffers.items()
        }
        return copy
