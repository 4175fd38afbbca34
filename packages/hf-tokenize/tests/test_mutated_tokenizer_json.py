"""A thousand damaged `tokenizer.json` files: each loads or raises our error, none crashes, hangs, or changes text."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FolderOf = Callable[[str], Path]
WORKER = '''
import json, random, sys, time
from pathlib import Path
from hf_tokenize import AutoTokenizer
from hf_hub_io.errors import HfError

def mutate(value, draw, depth=0):
    """A copy with one thing changed somewhere."""
    strange = [None, True, -1, 0, 2**40, 1.5, "", "x", "\\ud800x", [], {}, [[]], {"type": "Nope"}, 1e308, "▁", "\\x00"]
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        kind = draw.random()
        copy = dict(value)
        if kind < 0.12:
            del copy[key]
        elif kind < 0.2:
            copy[draw.choice(["x", "type", "vocab", "id"])] = copy.pop(key)
        else:
            copy[key] = mutate(value[key], draw, depth + 1)
        return copy
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        kind = draw.random()
        copy = list(value)
        if kind < 0.15:
            del copy[at]
        elif kind < 0.3:
            copy.insert(at, draw.choice(value))
        else:
            copy[at] = mutate(value[at], draw, depth + 1)
        return copy
    return draw.choice(strange)

folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
original = json.loads((folder / "source.json").read_text())
draw = random.Random(seed)
outcomes = {"loaded": 0, "refused": 0}
for step in range(count):
    document = original
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        document = mutate(document, draw)
    text = json.dumps(document)
    if draw.random() < 0.1:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice(["", "}", "\\x00", '"']) + text[at + draw.randrange(3):]
    (folder / "tokenizer.json").write_text(text)
    print(step, flush=True, file=sys.stderr)
    started = time.monotonic()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for sample in ("the fox <|end|> naïve 🙂", "", "a  b\\n", "x" * 300):
            ids = tokenizer(sample)["input_ids"]
            tokenizer(sample, return_offsets_mapping=True)
            tokenizer.decode(ids)
        outcomes["loaded"] += 1
    except HfError:
        outcomes["refused"] += 1
    assert time.monotonic() - started < 20, "hung"
print(json.dumps(outcomes))
'''


@pytest.mark.parametrize("kind", ["byte-level", "llama2", "unigram", "wordpiece"])
def test_a_thousand_mutations(folder_of: FolderOf, tmp_path: Path, kind: str) -> None:
    (tmp_path / "source.json").write_bytes((folder_of(kind) / "tokenizer.json").read_bytes())
    count = 250
    run = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path), str(random.Random(kind).randrange(10**6)), str(count)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2500:]
    outcomes = json.loads(run.stdout)
    assert outcomes["loaded"] + outcomes["refused"] == count
    assert outcomes["refused"] > 10
    assert outcomes["loaded"] > 10
