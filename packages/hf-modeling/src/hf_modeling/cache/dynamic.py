"""`DynamicCache`: grows with the text. What a model uses when nothing else is asked for.

B batch, N heads, T new tokens, S visible tokens, H features.

Tokens are written into buffers with room to spare, which grow by a share of their size, so a token costs the
same to add at any length. Writing starts at the cache's length, not at a length of the buffer's own, so a step
that fails half way is written over by the next. Where gradients are recorded nothing is written in place.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Self, final

import torch
from torch import Tensor

from hf_modeling.cache.states import Layout, Replace, Ring
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

    def grow(self, new_BNTH: Tensor, past: int) -> Tensor:
        """`DynamicCache.extend` where there is no room, or gradients are recorded, or a prompt is long."""
        first, new = max(0, past - self.keep), new_BNTH.shape[2]
        tensor = self.tensor
        old = None if tensor is None or past == first else tensor.narrow(2, first - self.origin, past - first)
        if torch.is_grad_enabled() and (new_BNTH.requires_grad or (old is not None and old.requires_grad)):
            self.tensor = new_BNTH if old is None else torch.cat((old, new_BNTH), dim=2)
            self.origin = first
            return self.tensor
        visible = new_BNTH if old is None else torch.cat((old, new_BNTH), dim=2)
        # A prompt longer than the window is looked at whole, and only its end is stored.
        B, N, total, H = visible.shape
        stored = min(total, max(self.keep, 1))
        with torch.inference_mode(False):  # so that calls outside inference mode can write here
            self.tensor = visible.new_empty(B, N, stored + max(ROOM, stored // 4), H)
        self.tensor.narrow(2, 0, stored).copy_(visible.narrow(2, total - stored, stored))
        self.origin = past + new - stored
        return visible


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
        self._buffers = [
            {
                name: _Buffer(state.window - 1 + slack if isinstance(state, Ring) else EVERYTHING)
                for name, state in states.items()
                if not isinstance(state, Replace)
            }
            for states in layout
        ]

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns all (B, N, S, H) that the new queries may look at, oldest first."""
        buffer = self._buffers[layer][name]
        tensor, start, new = buffer.tensor, self.length - buffer.origin, new_BNTH.shape[2]
        if tensor is None or start + new > tensor.shape[2] or new > buffer.keep or torch.is_grad_enabled():
            return buffer.grow(new_BNTH, self.length)
        tensor.narrow(2, start, new).copy_(new_BNTH)
        first = max(0, start - buffer.keep)
        return tensor.narrow(2, first, start + new - first)

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
            self._values = [{} for _ in self.layout]

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat or be left out."""
        for buffer in self._all_buffers():
            if buffer.tensor is not None:
                buffer.tensor = _selected(buffer.tensor.narrow(2, 0, self.length - buffer.origin), rows_B)
        self._values = [{k: v.index_select(0, rows_B) for k, v in layer.items()} for layer in self._values]
        if self.valid_BS is not None:
            self.valid_BS = self.valid_BS.index_select(0, rows_B)
        if self.next_position_B1 is not None:
            self.next_position_B1 = self.next_position_B1.index_select(0, rows_B)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        held = [b.tensor for b in self._all_buffers() if b.tensor is not None]
        held += [value for layer in self._values for value in layer.values()]
        if held:
            self.reorder(torch.arange(held[0].shape[0], device=held[0].device).repeat_interleave(repeats))

    def nbytes(self) -> int:
        """Bytes of memory held, spare room included."""
        values = sum(value.nbytes for layer in self._values for value in layer.values())
        return values + sum(b.tensor.nbytes for b in self._all_buffers() if b.tensor is not None)

    def clone(self) -> Self:
        """An independent copy."""
        copy = type(self)(self.layout, slack=self.slack)
        copy.advance(self.length, self.valid_BS, self.next_position_B1)
        copy._values = [{name: value.clone() for name, value in layer.items()} for layer in self._values]
        copy._buffers = [
            {name: _Buffer(b.keep, _copied(b.tensor), b.origin) for name, b in layer.items()}
            for layer in self._buffers
        ]
        return copy

    def _all_buffers(self) -> list[_Buffer]:
        return [buffer for layer in self._buffers for buffer in layer.values()]
