"""Block manager and scheduler as state machines: no token lost, duplicated or corrupted, no block leaked."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from hf_modeling.generation.errors import OptionError, OutOfCacheError
from hf_modeling.generation.serving.blocks import BlockManager
from hf_modeling.generation.serving.scheduler import Limits, Scheduler

SIZE = 3
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=12)


class Blocks(RuleBasedStateMachine):
    """Sequences grow, fork and end; a shadow memory shows what each would read."""

    sequences = Bundle("sequences")

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(10, SIZE)
        self.memory: dict[int, list[int | None]] = {b: [None] * SIZE for b in range(10)}
        self.texts: dict[int, list[int]] = {}
        self.count = 0

    def write(self, sequence: int, start: int, tokens: list[int]) -> None:
        table = self.manager.table(sequence)
        for i, token in enumerate(tokens, start):
            self.memory[table[i // SIZE]][i % SIZE] = token
        self.texts[sequence] = [*self.texts[sequence][:start], *tokens]
        self.manager.publish(sequence, self.texts[sequence])

    def grow(self, sequence: int, tokens: int) -> bool:
        before = self.manager.available
        copies = self.manager.grow(sequence, tokens)
        if copies is None:
            assert self.manager.available == before
            return False
        for source, target in copies:
            self.memory[target] = list(self.memory[source])
        return True

    @rule(target=sequences, tokens=TOKENS)
    def admit(self, tokens: list[int]) -> int:
        sequence = self.count = self.count + 1
        known = self.manager.admit(sequence, tokens)
        assert known < len(tokens)
        self.texts[sequence] = tokens[:known]
        if self.grow(sequence, len(tokens)):
            self.write(sequence, known, tokens[known:])
        return sequence

    @rule(sequence=sequences, token=st.integers(0, 1))
    def append(self, sequence: int, token: int) -> None:
        if sequence in self.texts and self.grow(sequence, len(self.texts[sequence]) + 1):
            self.write(sequence, len(self.texts[sequence]), [token])

    @rule(target=sequences, sequence=sequences)
    def fork(self, sequence: int) -> int:
        child = self.count = self.count + 1
        if sequence in self.texts:
            self.manager.fork(sequence, child)
            self.texts[child] = list(self.texts[sequence])
        return child

    @rule(sequence=consumes(sequences))
    def free(self, sequence: int) -> None:
        self.manager.free(sequence)
        self.texts.pop(sequence, None)
        self.manager.free(sequence)

    @rule()
    def forget(self) -> None:
        self.manager.forget()

    @invariant()
    def every_sequence_reads_its_own_text(self) -> None:
        for sequence, text in self.texts.items():
            table = self.manager.table(sequence)
            assert [self.memory[table[i // SIZE]][i % SIZE] for i in range(len(text))] == text

    @invariant()
    def blocks_in_use_are_those_held(self) -> None:
        held = {block for sequence in self.texts for block in self.manager.table(sequence)}
        assert self.manager.in_use == len(held)

    def teardown(self) -> None:
        for sequence in list(self.texts):
            self.manager.free(sequence)
        assert self.manager.in_use == 0


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Queue(RuleBasedStateMachine):
    """Requests come, run, end, are cancelled in any order; each sees all of its tokens once, in order."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(max_tokens=7, max_requests=4)
        self.scheduler = Scheduler(blocks=BlockManager(8, SIZE), limits=limits)
        self.memory: dict[int, list[int | None]] = {b: [None] * SIZE for b in range(8)}
        self.goal: dict[int, int] = {}
        self.count = 0

    @rule(target=requests, prompt=TOKENS, new=st.integers(1, 9))
    def add(self, prompt: list[int], new: int) -> int:
        self.count += 1
        self.scheduler.add(self.count, prompt, len(prompt) + new)
        self.goal[self.count] = len(prompt) + new
        return self.count

    @rule(request=consumes(requests))
    def cancel(self, request: int) -> None:
        self.scheduler.remove(request)
        self.goal.pop(request, None)

    @rule()
    def step(self) -> None:
        plan = self.scheduler.plan()
        assert bool(plan.chunks) == bool(self.goal), "work never stands still"
        assert sum(c.stop - c.start for c in plan.chunks) <= 7
        assert len({c.track.id for c in plan.chunks}) == len(plan.chunks)
        fresh = {target: list(self.memory[source]) for source, target in plan.copies}
        self.memory.update(fresh)
        for chunk in plan.chunks:
            table = self.scheduler.blocks.table(chunk.track.id)
            for i in range(chunk.start, chunk.stop):
                self.memory[table[i // SIZE]][i % SIZE] = chunk.track.tokens[i]
        for chunk in plan.chunks:
            track = chunk.track
            table = self.scheduler.blocks.table(track.id)
            seen = [self.memory[table[i // SIZE]][i % SIZE] for i in range(chunk.stop)]
            assert seen == track.tokens[: chunk.stop]
            self.scheduler.ran(chunk)
            if chunk.last:
                track.tokens.append(len(track.tokens) % 2)
                if len(track.tokens) == self.goal[track.id]:
                    self.scheduler.remove(track.id)
                    del self.goal[track.id]

    def teardown(self) -> None:
        for _ in range(2000):
            if not self.goal:
                break
            self.step()
        assert not self.goal, "every request ends"
        assert self.scheduler.blocks.in_use == 0


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_shared_prefix_is_found_and_costs_nothing() -> None:
    manager = BlockManager(8, 4)
    tokens = list(range(10))
    assert manager.admit(1, tokens) == 0
    manager.grow(1, 10)
    manager.publish(1, tokens)
    assert manager.admit(2, tokens) == 8
    assert manager.in_use == 3
    manager.free(1)
    manager.free(2)
    assert manager.in_use == 0
    assert manager.admit(3, [*range(8), 77]) == 8, "known blocks outlive their sequences"
    assert manager.admit(4, list(range(8))) == 4, "the last token has to run in any case"


def test_the_longest_unused_prefix_is_given_up_first() -> None:
    manager = BlockManager(3, 2)
    for sequence, tokens in enumerate(([1, 1, 9], [2, 2, 9])):
        manager.admit(sequence, tokens)
        manager.grow(sequence, 2)
        manager.publish(sequence, tokens[:2])
        manager.free(sequence)
    manager.admit(5, [3, 3, 3, 3])
    manager.grow(5, 4)
    assert manager.known_prefix([1, 1, 9]) == []
    assert manager.known_prefix([2, 2, 9]) != []


def test_prefixes_can_be_kept_apart() -> None:
    manager = BlockManager(4, 2, share_prefixes=False)
    manager.admit(1, [1, 2, 3])
    manager.grow(1, 3)
    manager.publish(1, [1, 2, 3])
    assert manager.admit(2, [1, 2, 3]) == 0


def test_a_request_that_never_fits_is_refused_with_the_numbers() -> None:
    scheduler = Scheduler(blocks=BlockManager(4, 8), limits=Limits(max_tokens=64, max_requests=4))
    with pytest.raises(OutOfCacheError, match="needs 5 cache blocks of 8 tokens") as caught:
        scheduler.add(1, [0] * 20, 40)
    assert (caught.value.needed, caught.value.available) == (5, 4)


def test_a_long_prompt_does_not_hold_up_a_short_one() -> None:
    limits = Limits(max_tokens=8, max_requests=4)
    scheduler = Scheduler(blocks=BlockManager(100, 4), limits=limits)
    scheduler.add(1, [0] * 100, 110)
    scheduler.add(2, [1] * 3, 10)
    chunks = {c.track.id: c.stop - c.start for c in scheduler.plan().chunks}
    assert chunks == {1: 5, 2: 3}


@pytest.mark.parametrize(("blocks", "size"), [(0, 4), (4, 0)])
def test_sizes_are_checked(blocks: int, size: int) -> None:
    with pytest.raises(OptionError):
        BlockManager(blocks, size)


def test_limits_are_checked() -> None:
    with pytest.raises(OptionError, match="max_tokens"):
        Limits(max_tokens=4, max_requests=8)
