"""`EncoderDecoderCache`: what a decoder remembers of its own text, and what it once made of its encoder's.

A rows of the encoder, B of the decoder, N heads, T new tokens, S visible tokens, H features.

Keys and values of the encoder's tokens are held once for each of its rows, however many rows of the decoder read
them: beams of one text share them, and changing places among themselves costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, final

import torch
from torch import Tensor

from hf_modeling.cache.dynamic import DynamicCache
from hf_modeling.cache.protocol import Cache
from hf_modeling.cache.states import Layout, Once, State
from hf_modeling.masks import Mask
from hf_modeling.source import Source, repeated


@final
class EncoderDecoderCache:
    """A cache of any kind for the decoder's own tokens, and keys and values of the encoder's.

    Args:
        self_attention_cache: for the decoder's own tokens, made for `own_states(layout)`.
        layout: what the model remembers, from `model.cache_layout`.

    source: what is known of the encoder's tokens; None before the first step.
    """

    def __init__(self, self_attention_cache: Cache, layout: Layout) -> None:
        self.self_attention_cache, self.layout = self_attention_cache, layout
        self.source: Source | None = None
        self._crossed: dict[tuple[int, str], Tensor] = {}
        self._rows = 0

    @classmethod
    def growing(cls, layout: Layout, *, slack: int = 0) -> Self:
        """One that grows; `slack` as in `DynamicCache`."""
        return cls(DynamicCache(own_states(layout), slack=slack), layout)

    @property
    def length(self) -> int:
        """Tokens of the decoder seen so far, padding included."""
        return self.self_attention_cache.length

    @property
    def valid_BS(self) -> Tensor | None:
        """Which of the decoder's tokens are real; None when all are."""
        return self.self_attention_cache.valid_BS

    @property
    def next_position_B1(self) -> Tensor | None:
        """Each row's next position; None when it is `length` for every row."""
        return self.self_attention_cache.next_position_B1

    @property
    def capacity(self) -> int | None:
        """Tokens a row can have; None: any number."""
        return self.self_attention_cache.capacity

    def remember(self, source: Source) -> None:
        """Keep which of the encoder's tokens are real, for steps that do not say so again."""
        self.source = Source(None, source.mask)

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns all (B, N, S, H) the new queries may look at."""
        self._rows = new_BNTH.shape[0]
        return self.self_attention_cache.extend(layer, name, new_BNTH)

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a state that is written once, (A, N, S, H), or replaced; None before the first `put`."""
        if isinstance(self.layout[layer][name], Once):
            return self._crossed.get((layer, name))
        return self.self_attention_cache.get(layer, name)

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Write a state that is written once, or replace one that is replaced."""
        if isinstance(self.layout[layer][name], Once):
            self._crossed[layer, name] = value
        else:
            self.self_attention_cache.put(layer, name, value)

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written."""
        return self.self_attention_cache.query_order(new, device)

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns in this step."""
        return self.self_attention_cache.key_order(window, new, device)

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """End a step of `new` tokens."""
        self.self_attention_cache.advance(new, valid_BS, next_position_B1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the decoder seen so far, padding included."""
        return self.self_attention_cache.length

    def crop(self, length: int) -> None:
        """Forget all but the decoder's first `length` tokens. Raises CacheError as the cache inside."""
        self.self_attention_cache.crop(length)

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat or be left out."""
        self.self_attention_cache.reorder(rows_B)
        self._follow(rows_B)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side; they go on sharing the encoder's row."""
        self.self_attention_cache.batch_repeat_interleave(repeats)
        self._rows *= repeats

    def nbytes(self) -> int:
        """Bytes of memory held."""
        crossed = sum(value.nbytes for value in self._crossed.values())
        return crossed + self.self_attention_cache.nbytes()

    def clone(self) -> Self:
        """An independent copy; what was made of the encoder never changes, so it is shared."""
        copy = type(self)(self.self_attention_cache.clone(), self.layout)
        copy.source, copy._rows = self.source, self._rows
        copy._crossed = dict(self._crossed)
        return copy

    def _follow(self, rows_B: Tensor) -> None:
        """Let the decoder's rows keep reading their own texts after they changed places."""
        held = next(iter(self._crossed.values()), None)
        if held is None:
            return
        sources, before, self._rows = held.shape[0], self._rows, rows_B.shape[0]
        owners_B = rows_B // (before // sources)
        if self._rows % sources == 0:
            each = self._rows // sources
            if torch.equal(owners_B, torch.arange(sources, device=rows_B.device).repeat_interleave(each)):
                return
        self._crossed = {key: repeated(value, owners_B) for key, value in self._crossed.items()}
        if self.source is not None and self.source.mask.tensor is not None:
            self.source = Source(None, Mask(repeated(self.source.mask.tensor, owners_B)))


def own_states(layout: Layout) -> Layout:
    """The states of a decoder's own tokens, without those made of its encoder's."""
    return tuple(_own(states) for states in layout)


def reads_source(layout: Layout) -> bool:
    """Whether some layer remembers what it made of an encoder's tokens."""
    return any(isinstance(state, Once) for states in layout for state in states.values())


def _own(states: Mapping[str, State]) -> Mapping[str, State]:
    return {name: state for name, state in states.items() if not isinstance(state, Once)}
