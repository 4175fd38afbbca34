"""A paged cache: keys and values of many sequences in blocks of one pool, addressed through block tables.

B sequences of a step, N heads, T new tokens, S visible tokens, H features, P places (blocks * block size).

`BlockStore` holds the tensors. `BlockStore.step` gives the `Cache` that one model call works on: rows of any
lengths, each with its table. Which block belongs to whom is decided elsewhere (`generation.serving.blocks`).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Self, final

import torch
from torch import Tensor

from hf_modeling.cache.states import Append, Layout, Replace, Ring
from hf_modeling.errors import CacheError


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """One sequence of a step: its name, its blocks, and how many tokens they hold before the step."""

    sequence: int
    table: Sequence[int]
    length: int


@final
class BlockStore:
    """The tensors of a paged cache.

    Args:
        layout: what the model remembers, from `model.cache_layout`.
        blocks: how many blocks there are.
        block_size: tokens a block holds.
        dtype: element type of keys and values.
        device: where they live.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        blocks: int,
        block_size: int = 16,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.layout, self.blocks, self.block_size = layout, blocks, block_size
        self.device = torch.device(device)
        with torch.inference_mode(False):
            self.pools: list[dict[str, Tensor]] = [
                {
                    name: _zeros((s.heads, blocks * block_size, s.features), dtype, self.device)
                    for name, s in states.items()
                    if isinstance(s, Append | Ring)
                }
                for states in layout
            ]
        self.values: list[dict[str, dict[int, Tensor]]] = [
            {name: {} for name, s in states.items() if isinstance(s, Replace)} for states in layout
        ]
        self._window: _Window | None = None

    @property
    def recurrent(self) -> bool:
        """Whether some state is replaced at every token, so that a prefix cannot be shared by its blocks."""
        return any(self.values)

    def nbytes(self) -> int:
        """Bytes of the pool."""
        return sum(pool.nbytes for layer in self.pools for pool in layer.values())

    def copy(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Copy whole blocks, (from, to) each."""
        pairs = list(pairs)
        if not pairs:
            return
        size = self.block_size
        within = torch.arange(size, device=self.device)
        source, target = (
            (torch.tensor(blocks, device=self.device)[:, None] * size + within).flatten()
            for blocks in zip(*pairs, strict=True)
        )
        for layer in self.pools:
            for pool in layer.values():
                pool.index_copy_(1, target, pool.index_select(1, source))

    def fork(self, sequence: int, child: int) -> None:
        """Let `child` have the recurrent states of a sequence; blocks are shared by their tables."""
        for layer in self.values:
            for states in layer.values():
                if sequence in states:
                    states[child] = states[sequence].clone()

    def forget(self, sequence: int) -> None:
        """Drop the recurrent states of a sequence."""
        for layer in self.values:
            for states in layer.values():
                states.pop(sequence, None)

    def step(self, rows: Sequence[StepRow], new: int) -> BlockStep:
        """The cache for one model call of `new` tokens a row."""
        window = self._window
        if new == 1 and window is not None and window.continues(rows):
            window.length += 1
            return BlockStep(self, rows, new, window)
        self._window = _Window(rows, self) if new == 1 else None
        return BlockStep(self, rows, new, self._window)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros that on a CPU take memory only where something was written: a pool is seldom full."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


@final
class _Window:
    """What the rows of a decoding step see, side by side: kept while the same rows decode on.

    Gathering blocks costs a pass over all keys and values; as long as nobody comes or goes, one new token per
    row is all that changes.
    """

    def __init__(self, rows: Sequence[StepRow], store: BlockStore) -> None:
        self.sequences = [row.sequence for row in rows]
        self.lengths = [row.length for row in rows]
        self.length = 0
        self.room = max(self.lengths) + store.block_size
        self.buffers: dict[tuple[int, str], Tensor] = {}

    def continues(self, rows: Sequence[StepRow]) -> bool:
        """Whether these are the same rows, one token further than at the last step."""
        taken = self.length + 1
        return (
            len(rows) == len(self.sequences)
            and max(self.lengths) + taken < self.room
            and all(
                row.sequence == sequence and row.length == length + taken
                for row, sequence, length in zip(rows, self.sequences, self.lengths, strict=True)
            )
        )


@final
class BlockStep:
    """The cache of one model call over a `BlockStore`; rows may have different lengths. Use it once."""

    def __init__(self, store: BlockStore, rows: Sequence[StepRow], new: int, window: _Window | None) -> None:
        self.layout = store.layout
        self.valid_BS: Tensor | None = None
        self._store, self._rows, self._window = store, rows, window
        lengths = [row.length for row in rows]
        self.length = max(lengths)
        self._even = min(lengths) == self.length
        self._seen = self.length + new
        device = store.device
        self._length_B1 = torch.tensor(lengths, device=device)[:, None]
        self.next_position_B1: Tensor | None = None if self._even else self._length_B1
        order_BT = self._length_B1 + torch.arange(new, device=device)
        self._place_BT = self._places(order_BT)
        self._place_BS: Tensor | None = None

    @property
    def capacity(self) -> int | None:
        """None when all rows are equally long; otherwise what the longest sees, shorter ones filled up."""
        return None if self._even else self._seen

    def extend(self, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        """Write new tokens to their blocks; returns all (B, N, S, H) that each row sees."""
        pool_NPH = self._store.pools[layer][name]
        batch, heads, new, features = new_BNTH.shape
        pool_NPH.index_copy_(
            1, self._place_BT.flatten(), new_BNTH.transpose(0, 1).reshape(heads, batch * new, features)
        )
        if self._window is not None:
            return self._extend_window(self._window, layer, name, new_BNTH)
        return self._gather(pool_NPH, self._seen)

    def get(self, layer: int, name: str) -> Tensor | None:
        """The value of a replace state, row by row; None before the first `put`."""
        states = self._store.values[layer][name]
        held = [states[row.sequence] for row in self._rows if row.sequence in states]
        return torch.stack(held) if len(held) == len(self._rows) else None

    def put(self, layer: int, name: str, value: Tensor) -> None:
        """Replace the value of a replace state."""
        for row, state in zip(self._rows, value, strict=True):
            self._store.values[layer][name][row.sequence] = state

    def query_order(self, new: int, device: torch.device) -> Tensor:
        """Order of `new` tokens about to be written, (T,) or (B, T)."""
        order_BT = self._length_B1 + torch.arange(new, device=self._store.device)
        return order_BT[0] if self._even else order_BT

    def key_order(self, window: int | None, new: int, device: torch.device) -> Tensor:
        """Order of each key that `extend` returns, (S,) or (B, S), -1 where nothing is written."""
        order_S = torch.arange(self._seen, device=self._store.device)
        return order_S if self._even else torch.where(order_S < self._length_B1 + new, order_S, -1)

    def advance(self, new: int, valid_BS: Tensor | None, next_position_B1: Tensor | None) -> None:
        """Nothing: who owns the tables counts the tokens."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row before the step."""
        return self.length

    def crop(self, length: int) -> NoReturn:
        """Not for a step. Raises CacheError."""
        self._refuse("crop")

    def reorder(self, rows_B: Tensor) -> NoReturn:
        """Not for a step. Raises CacheError."""
        self._refuse("reorder")

    def batch_repeat_interleave(self, repeats: int) -> NoReturn:
        """Not for a step. Raises CacheError."""
        self._refuse("batch_repeat_interleave")

    def nbytes(self) -> int:
        """Bytes of the blocks that the rows hold."""
        held = {block for row in self._rows for block in row.table}
        return self._store.nbytes() * len(held) // self._store.blocks

    def clone(self) -> Self:
        """Not for a step. Raises CacheError."""
        self._refuse("clone")

    def _refuse(self, operation: str) -> NoReturn:
        raise CacheError(
            f"one step of a paged cache has no {operation}",
            fix="change the block tables and take another step",
        )

    def _places(self, order_BT: Tensor) -> Tensor:
        """Places in the pool of tokens by order; beyond a row's table, those of its last block."""
        size = self._store.block_size
        longest = max(len(row.table) for row in self._rows)
        padded = [[*row.table, *[row.table[-1]] * (longest - len(row.table))] for row in self._rows]
        table_BK = torch.tensor(padded, device=self._store.device)
        block_BT = table_BK.gather(1, (order_BT // size).clamp(max=longest - 1))
        return block_BT * size + order_BT % size

    def _gather(self, pool_NPH: Tensor, tokens: int) -> Tensor:
        """Keys of every row side by side, (B, N, tokens, H)."""
        if self._place_BS is None:
            order_S = torch.arange(tokens, device=self._store.device)
            self._place_BS = self._places(order_S.expand(len(self._rows), -1))
        heads, _, features = pool_NPH.shape
        taken = pool_NPH.index_select(1, self._place_BS.flatten())
        return taken.view(heads, len(self._rows), tokens, features).transpose(0, 1)

    def _extend_window(self, window: _Window, layer: int, name: str, new_BNTH: Tensor) -> Tensor:
        buffer = window.buffers.get((layer, name))
        if buffer is None:
            pool_NPH = self._store.pools[layer][name]
            batch, heads, _, features = new_BNTH.shape
            with torch.inference_mode(False):
                # Unwritten places are hidden, and have to be finite all the same.
                buffer = pool_NPH.new_zeros(batch, heads, window.room, features)
            buffer[:, :, : self._seen] = self._gather(pool_NPH, self._seen)
            window.buffers[layer, name] = buffer
        else:
            index = self._length_B1[:, :, None, None].expand(-1, new_BNTH.shape[1], 1, new_BNTH.shape[3])
            buffer.scatter_(2, index, new_BNTH)
        return buffer[:, :, : self._seen]
