"""Caches that hold keys and values otherwise than as they are used: in few bits, or in another memory.

B batch, N heads, T new tokens, S visible tokens, R tokens of a block, H features.

`StoredCache` does the bookkeeping of a `DynamicCache` and hands append states to a `Store`; windows are short
and recurrent states few, so these stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, Self, final

import torch
from torch import Tensor

from hf_modeling.cache.dynamic import DynamicCache
from hf_modeling.cache.states import Append, Layout
from hf_modeling.errors import CacheError


class Store(Protocol):
    """The tokens of one append state."""

    def extend(self, new_BNTH: Tensor, past: int) -> Tensor:
        """Keep new tokens after the first `past`; returns all of them as they are used."""
        ...

    def crop(self, tokens: int) -> None:
        """Forget all but the first `tokens`."""
        ...

    def rows(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was."""
        ...

    def batch(self) -> int:
        """Rows held; 0 before the first token."""
        ...

    def nbytes(self) -> int:
        """Bytes of memory held."""
        ...

    def clone(self) -> Self:
        """An independent copy."""
        ...


@final
class StoredCache:
    """A growing cache whose append states are kept by stores made by `make`, which is given the state's name."""

    capacity: int | None = None

    def __init__(self, layout: Layout, make: Callable[[str], Store], *, slack: int = 0) -> None:
        self.layout = layout
        self._inner = DynamicCache(layout, slack=slack)
        self._stores: list[dict[str, Store]] = [
            {name: make(name) for name, state in states.items() if isinstance(state, Append)}
            for states in layout
        ]

    @property
    def length(self) -> int:
        """Tokens seen so far, padding included."""
        return self._inner.length

    @property
    def valid_BS(self) -> Tensor | None:
        """Which of the tokens seen are real; None when all are."""
        return self._inner.valid_BS

    @property
    def next_position_B1(self) -> Tensor | None:
        """Each row's next position; None when it is `length` for every row."""
        return self._inner.next_position_B1

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Store new tokens; returns all that the new queries may look at, oldest first."""
        store = self._stores[layer].get(name)
        return (
            self._inner.extend(layer, name, new_BNTH)
            if store is None
            else store.extend(new_BNTH, self.length)
        )

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state; None before the first `put`."""
        return self._inner.get(layer, name)

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state."""
        self._inner.put(layer, name, value)

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written, (T,)."""
        return self._inner.query_order(new, device)

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns in this step, (S,)."""
        return self._inner.key_order(window, new, device)

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """End a step of `new` tokens."""
        self._inner.advance(new, valid_BS, next_position_B1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens seen so far, padding included; the same for every layer."""
        return self._inner.length

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens, or the last `-length`. Raises as `DynamicCache.crop`."""
        self._inner.crop(length)
        for store in self._all():
            store.crop(self._inner.length)

    def reorder(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was; rows may repeat or be left out."""
        self._inner.reorder(rows_B)
        for store in self._all():
            store.rows(rows_B)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times, copies side by side."""
        batch = max((store.batch() for store in self._all()), default=0)
        if not batch:
            self._inner.batch_repeat_interleave(repeats)
            return
        device = None if self.valid_BS is None else self.valid_BS.device
        self.reorder(torch.arange(batch, device=device).repeat_interleave(repeats))

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return self._inner.nbytes() + sum(store.nbytes() for store in self._all())

    def clone(self) -> Self:
        """An independent copy."""
        copy = object.__new__(type(self))
        copy.layout, copy._inner = self.layout, self._inner.clone()
        copy._stores = [{name: store.clone() for name, store in layer.items()} for layer in self._stores]
        return copy

    def _all(self) -> list[Store]:
        return [store for layer in self._stores for store in layer.values()]


Bits = Literal[2, 4, 8]


def quantized_cache(layout: Layout, *, bits: Bits = 4, residual: int = 128, slack: int = 0) -> StoredCache:
    """A cache in `bits` bits a number, except for the latest tokens.

    Keys share a scale by channel over blocks of tokens, values by token, which is how each of them varies
    least (KIVI, arXiv 2402.02750).

    Raises:
        CacheError: other than 2, 4 or 8 bits, or no block.
    """
    if bits not in (2, 4, 8) or residual < 1:
        raise CacheError(
            f"keys and values cannot be kept in {bits} bits with {residual} tokens as they are",
            fix="give 2, 4 or 8 bits and at least 1 token",
        )
    return StoredCache(
        layout, lambda name: QuantizedStore(bits, residual, over_tokens=name != "value"), slack=slack
    )


def offloaded_cache(layout: Layout, *, slack: int = 0) -> StoredCache:
    """A cache in the main memory; each layer's part is on the model's device only while the layer runs."""
    return StoredCache(layout, lambda name: OffloadedStore(), slack=slack)


@dataclass(frozen=True, slots=True)
class _Block:
    """R tokens in few bits: number = code * scale + low."""

    codes: Tensor
    scale: Tensor
    low: Tensor

    def rows(self, rows_B: Tensor) -> _Block:
        return _Block(*(part.index_select(0, rows_B) for part in (self.codes, self.scale, self.low)))

    def nbytes(self) -> int:
        return self.codes.nbytes + self.scale.nbytes + self.low.nbytes


@final
class QuantizedStore:
    """Blocks of `residual` tokens in few bits, and from `residual` to twice as many latest ones as they are.

    over_tokens: whether the numbers of a channel share a scale over a block, or those of a token over channels.
    """

    def __init__(self, bits: Bits, residual: int, *, over_tokens: bool) -> None:
        self._bits, self._residual, self._over_tokens = bits, residual, over_tokens
        self._blocks: list[_Block] = []
        self._latest: Tensor | None = None

    def extend(self, new_BNTH: Tensor, past: int) -> Tensor:
        """Keep new tokens; returns all, older ones as the bits tell."""
        latest = self._latest
        latest = (
            new_BNTH
            if latest is None
            else torch.cat([latest[:, :, : past - self._packed()], new_BNTH], dim=2)
        )
        visible = torch.cat([*(self._read(block, new_BNTH.dtype) for block in self._blocks), latest], dim=2)
        with torch.inference_mode(False):
            while latest.shape[2] >= 2 * self._residual:
                self._blocks.append(self._written(latest[:, :, : self._residual]))
                latest = latest[:, :, self._residual :]
            self._latest = latest.clone()
        return visible

    def crop(self, tokens: int) -> None:
        """Forget all but the first `tokens`; a block that is cut is read back."""
        latest = self._latest
        while self._blocks and self._packed() > tokens:
            block = self._read(self._blocks.pop(), torch.float32 if latest is None else latest.dtype)
            latest = block if latest is None else torch.cat([block, latest], dim=2)
        self._latest = None if latest is None else latest[:, :, : tokens - self._packed()]

    def rows(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was."""
        self._blocks = [block.rows(rows_B) for block in self._blocks]
        self._latest = None if self._latest is None else self._latest.index_select(0, rows_B)

    def batch(self) -> int:
        """Rows held."""
        return 0 if self._latest is None else self._latest.shape[0]

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(block.nbytes() for block in self._blocks) + (
            0 if self._latest is None else self._latest.nbytes
        )

    def clone(self) -> Self:
        """An independent copy; blocks are never changed, so they are shared."""
        copy = type(self)(self._bits, self._residual, over_tokens=self._over_tokens)
        copy._blocks = list(self._blocks)
        copy._latest = None if self._latest is None else self._latest.clone()
        return copy

    def _packed(self) -> int:
        return len(self._blocks) * self._residual

    def _written(self, tokens_BNRH: Tensor) -> _Block:
        dim = 2 if self._over_tokens else 3
        low, high = tokens_BNRH.float().aminmax(dim=dim, keepdim=True)
        scale = ((high - low) / (2**self._bits - 1)).clamp(min=torch.finfo(torch.float32).tiny)
        codes = ((tokens_BNRH.float() - low) / scale).round().to(torch.uint8)
        return _Block(_packed_bits(codes, self._bits), scale.to(tokens_BNRH.dtype), low.to(tokens_BNRH.dtype))

    def _read(self, block: _Block, dtype: torch.dtype) -> Tensor:
        codes = _unpacked_bits(block.codes, self._bits, self._residual)
        return codes.to(dtype) * block.scale.to(dtype) + block.low.to(dtype)


@final
class OffloadedStore:
    """All tokens in the main memory, page-locked where a GPU will read them."""

    def __init__(self) -> None:
        self._held: Tensor | None = None

    def extend(self, new_BNTH: Tensor, past: int) -> Tensor:
        """Keep new tokens; returns all, on the device of the new ones."""
        B, N, new, H = new_BNTH.shape
        if self._held is None or self._held.shape[2] < past + new:
            with torch.inference_mode(False):
                room = past + new + max(64, (past + new) // 4)
                grown = torch.empty(B, N, room, H, dtype=new_BNTH.dtype, pin_memory=new_BNTH.is_cuda)
            if self._held is not None:
                grown[:, :, :past] = self._held[:, :, :past]
            self._held = grown
        self._held[:, :, past : past + new] = new_BNTH.to("cpu")
        if not past:
            return new_BNTH
        old = self._held[:, :, :past].to(new_BNTH.device, non_blocking=True)
        return torch.cat([old, new_BNTH], dim=2)

    def crop(self, tokens: int) -> None:
        """Nothing to do: tokens beyond the cache's length are never read."""

    def rows(self, rows_B: Tensor) -> None:
        """Row i becomes what row `rows_B[i]` was."""
        self._held = None if self._held is None else self._held.index_select(0, rows_B.to("cpu"))

    def batch(self) -> int:
        """Rows held."""
        return 0 if self._held is None else self._held.shape[0]

    def nbytes(self) -> int:
        """Bytes of main memory held."""
        return 0 if self._held is None else self._held.nbytes

    def clone(self) -> Self:
        """An independent copy."""
        copy = type(self)()
        copy._held = None if self._held is None else self._held.clone()
        return copy


def _packed_bits(codes_BNRH: Tensor, bits: Bits) -> Tensor:
    """Codes of several tokens side by side in a byte, (B, N, ceil(R * bits / 8), H)."""
    each = 8 // bits
    padded = torch.nn.functional.pad(codes_BNRH, (0, 0, 0, -codes_BNRH.shape[2] % each))
    groups = padded.unflatten(2, (-1, each))
    shifts = torch.arange(0, 8, bits, device=codes_BNRH.device, dtype=torch.uint8)[:, None]
    packed: Tensor = (groups << shifts).sum(dim=3, dtype=torch.uint8)
    return packed


def _unpacked_bits(bytes_BNGH: Tensor, bits: Bits, tokens: int) -> Tensor:
    shifts = torch.arange(0, 8, bits, device=bytes_BNGH.device, dtype=torch.uint8)[:, None]
    codes = (bytes_BNGH[:, :, :, None] >> shifts) & (2**bits - 1)
    return codes.flatten(2, 3)[:, :, :tokens]
