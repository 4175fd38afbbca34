"""`python -m tools.typecheck [PACKAGE ...]`: mypy --strict, one package at a time.

One run over everything fails on equal file names in different test folders, and would let a package see more
than it declares. The cache is shared, so torch is analysed once.
"""

import subprocess
import sys
from typing import Annotated

import typer

from tools.workspace import ROOT, members, select


def main(
    packages: Annotated[
        list[str] | None, typer.Argument(help="Packages; all, and the tools, when none.")
    ] = None,
) -> None:
    """Exit status 1 when any package has a type error."""
    known = members()
    targets = {
        name: [known[name].path / "src", known[name].path / "tests"] for name in select(packages, known)
    }
    if not packages:
        targets["tools"] = [ROOT / "tools", ROOT / "integration_tests" / "architecture"]
    failed = []
    for name, folders in targets.items():
        paths = [str(folder.relative_to(ROOT)) for folder in folders if any(folder.rglob("*.py"))]
        print(f"{name}: ", end="", flush=True)
        if subprocess.run([sys.executable, "-m", "mypy", *paths], cwd=ROOT).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"type errors in {', '.join(failed)}")


if __name__ == "__main__":
    typer.run(main)
