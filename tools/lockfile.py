"""`python -m tools.lockfile [--write]`: `requirements.lock` is what the workspace resolves to.

`uv.lock` names the index it was made from, so it is not committed; this file pins the same versions by hash
and names no host. The resolution is reproducible because `exclude-newer` in pyproject.toml fixes the date.
"""

import difflib
import subprocess
import sys
from typing import Annotated

import typer

from tools.workspace import ROOT, run

LOCK = ROOT / "requirements.lock"
EXPORT = (
    "uv export --quiet --frozen --all-packages --all-groups --all-extras "
    "--no-emit-workspace --no-header --no-annotate --format requirements-txt"
)


def resolved() -> str:
    """The pins of every group and extra, hashes included, as uv resolves them now."""
    run("uv", "lock", "--quiet")
    return subprocess.run(EXPORT.split(), cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main(
    write: Annotated[bool, typer.Option("--write", help="Update the file instead of checking it.")] = False,
) -> None:
    """Exit status 1 when the committed file differs."""
    expected = resolved()
    if write:
        LOCK.write_text(expected)
    difference = list(
        difflib.unified_diff(LOCK.read_text().splitlines(), expected.splitlines(), lineterm="", n=0)
    )
    if difference:
        print("\n".join(difference[:40]))
        sys.exit("requirements.lock is stale; update it with: uv run python -m tools.lockfile --write")
    print(f"requirements.lock: {expected.count('==')} packages pinned, as resolved")


if __name__ == "__main__":
    typer.run(main)
