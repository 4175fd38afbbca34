"""A Hub on loopback, and Python processes that know no other."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_hub_io.testing import FakeHub

InChild = Callable[..., dict[str, object]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def in_child(hub: FakeHub, tmp_path: Path) -> InChild:
    """Runs code in a fresh Python whose Hub is the fake one; the code prints JSON."""

    def run(code: str, **environment: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=hub.environment(tmp_path, **environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, object] = json.loads(done.stdout)
        return result

    return run
