"""`python -m tools.changed --base REV`: the packages a change can affect, one name a line.

Those are the packages with changed files and every package above them; a file outside `packages/` affects
all of them.
"""

import json
import subprocess
from pathlib import PurePosixPath
from typing import Annotated

import typer

from tools.workspace import ROOT, Member, above, members

PROSE = {"docs", "README.md", "CONTRIBUTING.md", "LICENSE"}
"""Top-level names whose change cannot make a package's tests fail."""


def affected(files: list[str], known: dict[str, Member]) -> list[str]:
    """The names of the packages that a change to `files` can affect, in ladder order."""
    touched: set[str] = set()
    for parts in (PurePosixPath(file).parts for file in files):
        if parts[0] in PROSE:
            continue
        if parts[0] != "packages" or parts[1] not in known:
            return list(known)
        touched.add(parts[1])
    return above(known, touched)


def main(
    base: Annotated[str, typer.Option(help="The revision to compare with.")] = "origin/main",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Print the affected packages."""
    command = ["git", "diff", "--name-only", "--no-renames", f"{base}...HEAD"]
    diff = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    known = members()
    # A first push has no revision before it: everything is new then.
    names = affected(diff.stdout.splitlines(), known) if diff.returncode == 0 else list(known)
    print(json.dumps(names) if as_json else "\n".join(names))


if __name__ == "__main__":
    typer.run(main)
