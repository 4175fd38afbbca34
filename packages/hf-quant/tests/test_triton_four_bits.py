"""The kernel for 4-bit weights in triton's interpreter, which runs it on a CPU, program by program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_kernel_gives_the_product_with_the_dequantized_weight() -> None:
    """In a process of its own: triton decides at its import whether it interprets."""
    pytest.importorskip("triton")
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--import-mode=importlib"]
    done = subprocess.run(
        [*command, str(here / "interpreted_triton_4bit.py")],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONWARNINGS": "ignore"},
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "19 passed" in done.stdout
