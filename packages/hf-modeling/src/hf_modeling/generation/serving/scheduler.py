"""What runs in the next step: which requests get how many tokens, under a budget of tokens and of memory.

Decoding goes first, one token a request, so that nobody who is being answered waits. What is left of the
budget is shared among prompts in parts (chunked prefill), evenly, so that a long prompt does not hold up
short ones. A new request is admitted when the cache has room for its prompt. When a running request needs a
block and none is left, the one admitted last gives up its blocks and starts over later; what it generated is
kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from hf_modeling.generation.errors import OptionError, OutOfCacheError
from hf_modeling.generation.serving.blocks import BlockManager


@dataclass(slots=True)
class Track:
    """One request as the scheduler sees it: its tokens, and how many of them the cache holds."""

    id: int
    tokens: list[int]
    limit: int
    """Tokens it may grow to, prompt included."""
    computed: int = 0

    @property
    def pending(self) -> int:
        """Tokens still to run through the model; 1 while decoding."""
        return len(self.tokens) - self.computed


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Tokens `start` to `stop` of a request run in this step; `last` when logits are wanted after them."""

    track: Track
    start: int
    stop: int

    @property
    def last(self) -> bool:
        return self.stop == len(self.track.tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One step: what runs, which blocks are copied first, and who was set back."""

    chunks: tuple[Chunk, ...]
    copies: tuple[tuple[int, int], ...] = ()
    preempted: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one step."""

    max_tokens: int = 512
    """Tokens that run through the model in a step."""
    max_requests: int = 64
    """Requests that are admitted at a time."""
    spare_blocks: int = 1
    """Blocks kept free when a request is admitted, so that those running can grow."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_requests"):
            if getattr(self, name) < 1:
                raise OptionError(name, getattr(self, name), "at least 1")
        if self.max_tokens < self.max_requests:
            raise OptionError("max_tokens", self.max_tokens, f"at least max_requests, {self.max_requests}")


@final
@dataclass(slots=True)
class Scheduler:
    """Queues requests and plans steps over one `BlockManager`. Not thread-safe: one thread drives it."""

    blocks: BlockManager
    limits: Limits = field(default_factory=Limits)
    waiting: deque[Track] = field(default_factory=deque)
    running: list[Track] = field(default_factory=list)
    """Admitted requests, in order of admission."""

    def add(self, request: int, prompt: Sequence[int], limit: int) -> Track:
        """Queue a request that may grow to `limit` tokens.

        Raises:
            OutOfCacheError: it can never fit, even alone.
        """
        # The last token is never written: nothing comes after it.
        needed = self.blocks.blocks_for(max(len(prompt), limit - 1))
        if needed > self.blocks.blocks:
            raise OutOfCacheError(needed, self.blocks.blocks, self.blocks.block_size)
        track = Track(id=request, tokens=list(prompt), limit=limit)
        self.waiting.append(track)
        return track

    def plan(self) -> Plan:
        """The next step; without chunks when nothing is to be done."""
        draft = _Draft(budget=self.limits.max_tokens)
        for track in list(self.running):
            if track.pending == 1:
                self._decode(track, draft)
        self._admit()
        self._fill(draft)
        while self.running and not draft.chunks:  # all wait for memory: the last one gives way
            self._set_back(self.running[-1], draft)
            self._fill(draft)
        return Plan(
            chunks=tuple(draft.chunks.values()),
            copies=tuple((source, target) for target, source in draft.copies.items()),
            preempted=tuple(draft.preempted),
        )

    def ran(self, chunk: Chunk) -> None:
        """Note that a chunk's states are written."""
        track = chunk.track
        track.computed = chunk.stop
        self.blocks.publish(track.id, track.tokens[: track.computed])

    def fork(self, request: int, child: int) -> Track:
        """A second request with the tokens of this one; a running one shares its blocks."""
        for tracks in (self.running, self.waiting):
            for position, track in enumerate(tracks):
                if track.id == request:
                    twin = Track(
                        id=child, tokens=list(track.tokens), limit=track.limit, computed=track.computed
                    )
                    if request in self.blocks:
                        self.blocks.fork(request, child)
                    tracks.insert(position + 1, twin)
                    return twin
        raise KeyError(request)

    def remove(self, request: int) -> None:
        """Take a request out and give back its blocks, whether it waits, runs or is unknown."""
        self.running = [track for track in self.running if track.id != request]
        self.waiting = deque(track for track in self.waiting if track.id != request)
        self.blocks.free(request)

    def _decode(self, track: Track, draft: _Draft) -> None:
        """Give a request its one token, setting back those admitted after it when memory is short."""
        while track in self.running:
            if self.blocks.missing(track.id, len(track.tokens)) <= self.blocks.available:
                self._run(track, 1, draft)
                return
            self._set_back(self.running[-1], draft)

    def _admit(self) -> None:
        while self.waiting and len(self.running) < self.limits.max_requests:
            track = self.waiting[0]
            known = self.blocks.known_prefix(track.tokens)
            # Known blocks that nobody holds count as available, and holding them takes them away.
            free_of_charge = sum(self.blocks.is_held(block) for block in known)
            needed = self.blocks.blocks_for(len(track.tokens)) - free_of_charge
            if needed + (self.limits.spare_blocks if self.running else 0) > self.blocks.available:
                return
            self.waiting.popleft()
            track.computed = self.blocks.admit(track.id, track.tokens)
            self.running.append(track)

    def _fill(self, draft: _Draft) -> None:
        """Share what is left of the budget among prompts, evenly; short ones leave what they do not need."""
        filling = [track for track in self.running if track.id not in draft.chunks]
        for done, track in enumerate(sorted(filling, key=lambda t: t.pending)):
            share = max(1, draft.budget // (len(filling) - done))
            count = min(track.pending, share, self.blocks.room(track.id) - track.computed)
            if draft.budget > 0 and count > 0:
                self._run(track, count, draft)

    def _run(self, track: Track, count: int, draft: _Draft) -> None:
        """Put the next `count` tokens of a request into the step."""
        stop = track.computed + count
        copies = self.blocks.grow(track.id, stop)
        assert copies is not None, "room was checked"
        draft.chunks[track.id] = Chunk(track=track, start=track.computed, stop=stop)
        draft.copies.update((target, source) for source, target in copies)
        draft.budget -= count

    def _set_back(self, track: Track, draft: _Draft) -> None:
        """Take back a request's blocks; it waits in front and computes its tokens anew."""
        self.running.remove(track)
        self.blocks.free(track.id)
        track.computed = 0
        self.waiting.appendleft(track)
        draft.preempted.append(track.id)
        if (chunk := draft.chunks.pop(track.id, None)) is not None:
            draft.budget += chunk.stop - chunk.start


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    budget: int
    chunks: dict[int, Chunk] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    """From target to source block; a target that changed hands keeps its last source."""
    preempted: list[int] = field(default_factory=list)
