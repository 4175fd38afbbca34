"""Every Python example in the README files and the documentation runs, offline, from an empty folder.

Blocks of one document run in order in one process. An example that cannot run here is preceded by the comment
`<!-- not run: REASON -->`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.workspace import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(
    r"(?P<skipped><!-- not run: \S[^>]*-->\s*)?^```python[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
OFFLINE = "import pytest_socket; pytest_socket.disable_socket(allow_unix_socket=True)\n"


def examples(document: Path) -> str:
    """The runnable blocks of a document as one program."""
    blocks = BLOCK.finditer(document.read_text())
    return "\n".join(block["code"] for block in blocks if not block["skipped"])


WITH_EXAMPLES = [document for document in DOCUMENTS if examples(document)]


def test_every_package_shows_an_example() -> None:
    assert set(ROOT.glob("packages/*/README.md")) <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=lambda document: str(document.relative_to(ROOT)))
def test_examples_run(document: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE + examples(document)],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{examples(document)}\n{ran.stdout}\n{ran.stderr}"
