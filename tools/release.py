"""`python -m tools.release TAG`: build and prove the one package that a tag such as `hf-config/v0.3.1` names.

The wheel is resolved against what is published, not against the workspace, installed in a fresh environment
and imported there. Publishing itself is the workflow's step, with the identity of the workflow.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from packaging.version import InvalidVersion, Version

from tools.workspace import Member, members, run


def named(tag: str, known: dict[str, Member]) -> Member:
    """The member that `tag` releases; stops the command when the tag and the package disagree."""
    name, _, version = tag.partition("/v")
    if name not in known:
        sys.exit(f"tag {tag!r} names no package; expected NAME/vVERSION with NAME one of {', '.join(known)}")
    member = known[name]
    try:
        released = Version(version)
    except InvalidVersion:
        sys.exit(f"tag {tag!r}: {version!r} is no version; expected {name}/v{member.version}")
    if released != member.version:
        sys.exit(f"tag {tag!r}: {name} is at {member.version} in its pyproject.toml; the two must be equal")
    changelog = (member.path / "CHANGELOG.md").read_text()
    if f"## {released}" not in changelog:
        sys.exit(f"tag {tag!r}: packages/{name}/CHANGELOG.md has no section '## {released}'")
    return member


def main(
    tag: Annotated[str, typer.Argument(help="NAME/vVERSION, as in hf-config/v0.3.1.")],
    out: Annotated[Path, typer.Option(help="Where the wheel and the source archive go.")] = Path("dist"),
) -> None:
    """Leaves the files to publish in the output folder."""
    member = named(tag, members())
    run("uv", "build", "--no-sources", "--package", member.name, "--out-dir", out.resolve())
    wheel = next(out.resolve().glob(f"{member.import_name}-{member.version}-*.whl"))
    with TemporaryDirectory(prefix="hf-release-") as folder:
        environment = Path(folder) / "venv"
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        run("uv", "venv", "--quiet", "--python", sys.executable, environment)
        run("uv", "pip", "install", "--quiet", "--python", python, wheel, cwd=Path(folder))
        run(python, "-I", "-c", f"import {member.import_name}", cwd=Path(folder))
    print(f"{member.name} {member.version} is ready in {out}")


if __name__ == "__main__":
    typer.run(main)
