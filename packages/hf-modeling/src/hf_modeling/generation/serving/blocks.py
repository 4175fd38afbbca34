"""Blocks of the paged cache: who holds which, which prefixes are known, which block is given up first.

Pure bookkeeping on integers; the tensors are elsewhere. A block holds `block_size` tokens of one sequence. A
full block is remembered by its content and everything before it, so a later sequence that starts alike shares
it. Blocks that nobody holds stay findable until their memory is needed, the longest unused going first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from hf_modeling.generation.errors import OptionError

Content = tuple[int, tuple[int, ...]]
"""What identifies a full block: the content number of the block before it (0 for none), and its tokens."""


@dataclass(slots=True)
class _Table:
    """Blocks of one sequence, in order."""

    blocks: list[int] = field(default_factory=list)
    tokens: int = 0
    """Tokens there is room for."""
    published: int = 0
    """Leading blocks that are findable by content."""
    content: int = 0
    """Content number of the last of them."""


@final
class BlockManager:
    """Hands out `blocks` blocks of `block_size` tokens to sequences named by integers.

    Args:
        blocks: how many there are.
        block_size: tokens a block holds.
        share_prefixes: let sequences that begin alike use the same blocks.
    """

    def __init__(self, blocks: int, block_size: int, *, share_prefixes: bool = True) -> None:
        for name, value in (("blocks", blocks), ("block_size", block_size)):
            if value < 1:
                raise OptionError(name, value, "at least 1")
        self.blocks, self.block_size = blocks, block_size
        self._share_prefixes = share_prefixes
        self._holders = [0] * blocks
        self._empty = list(range(blocks))[::-1]
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Findable blocks that nobody holds, the longest unused first."""
        self._block_of: dict[Content, int] = {}
        self._content_of: dict[int, tuple[Content, int]] = {}
        self._next_content = 1
        self._tables: dict[int, _Table] = {}

    @property
    def available(self) -> int:
        """Blocks that can be handed out now, known prefixes given up for them included."""
        return len(self._empty) + len(self._idle)

    @property
    def in_use(self) -> int:
        """Blocks that sequences hold."""
        return self.blocks - self.available

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.block_size)

    def table(self, sequence: int) -> Sequence[int]:
        """The blocks of a sequence, in order."""
        return self._tables[sequence].blocks

    def is_held(self, block: int) -> bool:
        """Whether any sequence holds a block."""
        return self._holders[block] > 0

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._tables

    def known_prefix(self, tokens: Sequence[int]) -> list[int]:
        """Blocks that hold the beginning of these tokens, at least one token short of all of them."""
        found: list[int] = []
        content = 0
        # The last token has to run through the model in any case, to give logits.
        for start in range(0, len(tokens) - self.block_size, self.block_size):
            block = self._block_of.get((content, tuple(tokens[start : start + self.block_size])))
            if block is None:
                break
            found.append(block)
            content = self._content_of[block][1]
        return found if self._share_prefixes else []

    def admit(self, sequence: int, tokens: Sequence[int]) -> int:
        """Begin a sequence with the known part of these tokens; returns how many tokens that part has."""
        assert sequence not in self._tables, f"sequence {sequence} is there already"
        blocks = self.known_prefix(tokens)
        for block in blocks:
            self._hold(block)
        content = self._content_of[blocks[-1]][1] if blocks else 0
        tokens_known = len(blocks) * self.block_size
        self._tables[sequence] = _Table(
            blocks=blocks, tokens=tokens_known, published=len(blocks), content=content
        )
        return tokens_known

    def room(self, sequence: int) -> int:
        """Tokens that a sequence could `grow` to now."""
        table = self._tables[sequence]
        blocks = len(table.blocks) + self.available - self._has_shared_tail(table)
        return max(table.tokens, blocks * self.block_size)

    def missing(self, sequence: int, tokens: int) -> int:
        """Blocks that `grow` to so many tokens would take."""
        table = self._tables[sequence]
        if tokens <= table.tokens:
            return 0
        return self.blocks_for(tokens) - len(table.blocks) + self._has_shared_tail(table)

    def grow(self, sequence: int, tokens: int) -> list[tuple[int, int]] | None:
        """Make room for `tokens` tokens in all; None, and nothing changed, when there is none.

        Returns:
            (from, to) pairs of blocks whose content has to be copied before anything is written, because the
            last block was shared with a fork.
        """
        if self.missing(sequence, tokens) > self.available:
            return None
        table = self._tables[sequence]
        copies: list[tuple[int, int]] = []
        if tokens > table.tokens and self._has_shared_tail(table):
            shared = table.blocks[-1]
            table.blocks[-1] = self._take()
            copies.append((shared, table.blocks[-1]))
            self._drop(shared)
        while len(table.blocks) < self.blocks_for(tokens):
            table.blocks.append(self._take())
        table.tokens = max(table.tokens, tokens)
        return copies

    def publish(self, sequence: int, tokens: Sequence[int]) -> None:
        """Make full blocks of a sequence findable; `tokens` are all those whose states are written."""
        table, size = self._tables[sequence], self.block_size
        while self._share_prefixes and (table.published + 1) * size <= len(tokens):
            start = table.published * size
            content: Content = (table.content, tuple(tokens[start : start + size]))
            block = table.blocks[table.published]
            known = self._block_of.get(content)
            if known is None:
                assert block not in self._content_of, "one block cannot hold two contents"
                self._block_of[content] = block
                self._content_of[block] = (content, self._next_content)
                self._next_content += 1
            elif known != block:  # another sequence computed the same meanwhile: use its block from now on
                self._hold(known)
                self._drop(block)
                table.blocks[table.published] = known
            table.content = self._content_of[table.blocks[table.published]][1]
            table.published += 1

    def fork(self, parent: int, child: int) -> None:
        """Begin `child` with all that `parent` holds; a later write to a shared block copies it first."""
        assert child not in self._tables, f"sequence {child} is there already"
        source = self._tables[parent]
        for block in source.blocks:
            self._hold(block)
        self._tables[child] = _Table(
            blocks=list(source.blocks),
            tokens=source.tokens,
            published=source.published,
            content=source.content,
        )

    def free(self, sequence: int) -> None:
        """Give back what a sequence holds; its full blocks stay findable. Freeing twice does nothing."""
        table = self._tables.pop(sequence, None)
        if table is not None:
            # From the end, so that of one sequence the beginning, likelier to be shared, is given up last.
            for block in reversed(table.blocks):
                self._drop(block)

    def forget(self) -> None:
        """Give up every known prefix that nobody holds."""
        while self._idle:
            self._empty.append(self._evict())

    def _has_shared_tail(self, table: _Table) -> bool:
        """Whether the next token would be written into a block that another sequence holds, too."""
        return table.tokens % self.block_size != 0 and self._holders[table.blocks[-1]] > 1

    def _take(self) -> int:
        block = self._empty.pop() if self._empty else self._evict()
        self._holders[block] = 1
        return block

    def _evict(self) -> int:
        block, _ = self._idle.popitem(last=False)
        content, _ = self._content_of.pop(block)
        del self._block_of[content]
        return block

    def _hold(self, block: int) -> None:
        self._idle.pop(block, None)
        self._holders[block] += 1

    def _drop(self, block: int) -> None:
        self._holders[block] -= 1
        if self._holders[block] == 0:
            if block in self._content_of:
                self._idle[block] = None
            else:
                self._empty.append(block)
