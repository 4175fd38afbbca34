"""The workspace as data: its packages, what each requires, and what stands above it on the ladder."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One package of the workspace, as its `pyproject.toml` declares it."""

    name: str
    version: Version
    requires: tuple[Requirement, ...]
    """Declared dependencies and those of every extra."""
    path: Path

    @property
    def import_name(self) -> str:
        """The name it is imported by: `hf_config` for `hf-config`."""
        return self.name.replace("-", "_")


def members(root: Path = ROOT) -> dict[str, Member]:
    """Every package by name, each after the packages it requires."""
    found = {}
    for path in sorted(root.glob("packages/*/pyproject.toml")):
        project = tomllib.loads(path.read_text())["project"]
        extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
        found[project["name"]] = Member(
            name=project["name"],
            version=Version(project["version"]),
            requires=tuple(Requirement(line) for line in [*project.get("dependencies", []), *extras]),
            path=path.parent,
        )
    return dict(sorted(found.items(), key=lambda item: (len(below(found, item[0])), item[0])))


def below(known: dict[str, Member], name: str) -> set[str]:
    """The members that `name` needs, directly or through others."""
    direct = {requirement.name for requirement in known[name].requires} & (known.keys() - {name})
    return direct.union(*(below(known, other) for other in direct))


def above(known: dict[str, Member], names: Iterable[str]) -> list[str]:
    """`names` and every member that needs one of them, in ladder order."""
    wanted = set(names)
    return [name for name in known if name in wanted or below(known, name) & wanted]


def select(names: list[str] | None, known: dict[str, Member]) -> list[str]:
    """The named members, or all of them; stops the command when a name is unknown."""
    unknown = sorted(set(names or ()) - known.keys())
    if unknown:
        sys.exit(f"no package is called {', '.join(unknown)}; known: {', '.join(known)}")
    return names or list(known)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command, showing it first; stops this command with its exit status when it fails."""
    words = [str(word) for word in command]
    print("$", " ".join(words), flush=True)
    status = subprocess.run(words, cwd=cwd).returncode
    if status != 0:
        sys.exit(status)


def build_wheels(out: Path) -> dict[str, Path]:
    """Build every member's wheel into `out`; returns them by package name."""
    run("uv", "build", "--quiet", "--wheel", "--no-sources", "--all-packages", "--out-dir", out)
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in sorted(out.glob("*.whl"))}
