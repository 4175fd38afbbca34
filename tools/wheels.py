"""`python -m tools.wheels [PACKAGE ...]`: each package proves itself apart.

Builds the wheels, installs each ALONE (its declared dependencies, nothing else of the workspace) in a fresh
environment, and runs that package's tests there. An import that is not declared fails only here.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tools.workspace import ROOT, Member, below, build_wheels, members, run, select

TORCH_FREE = ["hf-hub-io", "hf-config", "hf-tokenize"]
TEST_TOOLS = ["pytest", "pytest-socket", "pytest-timeout", "pytest-xdist", "hypothesis"]


def check(member: Member, wheels: list[Path], scratch: Path, install: list[str]) -> None:
    """Install `wheels` and what they declare in an environment of their own, and run all but the slow tests."""
    environment = scratch / member.name
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    run("uv", "venv", "--quiet", "--python", sys.executable, environment)
    run("uv", "pip", "install", "--quiet", "--python", python, *install, *wheels, *TEST_TOOLS)
    run(python, "-m", "pytest", "-q", "-n", "2", "-m", "not slow", member.path / "tests")


def main(
    packages: Annotated[
        list[str] | None, typer.Argument(help="Packages; the torch-free three when none.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All nine packages.")] = False,
    lowest: Annotated[bool, typer.Option("--lowest", help="With the lowest versions each declares.")] = False,
) -> None:
    """Stops at the first package that fails, with the exit status of what failed."""
    known = members()
    install = (
        ["--resolution", "lowest-direct"] if lowest else ["--constraint", str(ROOT / "requirements.lock")]
    )
    with TemporaryDirectory(prefix="hf-wheels-") as folder:
        scratch = Path(folder)
        wheels = build_wheels(scratch / "dist")
        for name in select(list(known) if every else packages or TORCH_FREE, known):
            print(f"\n== {name} alone", flush=True)
            # By path, not by name: a package of the same name on an index must not stand in for ours.
            ours = [wheels[other] for other in (name, *sorted(below(known, name)))]
            check(known[name], ours, scratch, install)


if __name__ == "__main__":
    typer.run(main)
