"""What an editor knows about the meta-package equals what there is: every name, checked by mypy itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hf_transformers


@pytest.mark.slow
def test_every_name_of_the_meta_package_is_known_to_type_checkers(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    names = [name for name in dir(hf_transformers) if not name.startswith("_")]
    assert len(names) > 150
    program = tmp_path / "every_name.py"
    program.write_text("\n".join(f"from hf_transformers import {name}" for name in names))
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            f"--cache-dir={tmp_path}",
            program,
        ],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
