"""Ten thousand requests through one engine: all answered, nothing held, memory flat."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import pytest

from hf_modeling.generation.serving import Engine, Limits, Request
from hf_modeling.testing.tiny import VOCABULARY, llama

REQUESTS = 10_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is resident")
def test_ten_thousand_requests() -> None:
    model = llama(num_hidden_layers=1)
    engine = Engine(model, memory=1 << 18, block_size=4, limits=Limits(max_tokens=256, max_requests=64))
    dice = random.Random(0)
    added = ended = cancelled = 0
    live: set[int] = set()
    at_half = 0
    while ended + cancelled < REQUESTS:
        while added < REQUESTS and len(live) < 150:
            prompt = [dice.randrange(4, VOCABULARY) for _ in range(dice.randrange(1, 20))]
            options = {"max_new_tokens": dice.randrange(1, 12)}
            live.add(engine.add(Request(prompt=prompt, options=options)))  # type: ignore[arg-type]  # as spelled
            added += 1
        if dice.random() < 0.05:
            victim = dice.choice(sorted(live))
            assert engine.cancel(victim)
            live.remove(victim)
            cancelled += 1
        for event in engine.step():
            assert event.error is None
            if event.finish_reason is not None:
                live.remove(event.request)
                ended += 1
        if not at_half and ended + cancelled > REQUESTS // 2:
            gc.collect()
            at_half = resident_bytes()
    assert engine.blocks_in_use == 0
    assert not engine.has_work
    gc.collect()
    assert resident_bytes() - at_half < 8 << 20
