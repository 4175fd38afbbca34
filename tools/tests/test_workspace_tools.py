"""The commands that guard the workspace, on small workspaces made here and on the real one."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import changed, gpu_check, pins, release, surface, workspace
from tools.workspace import Member, above, members

PROJECT = """
[project]
name = "{name}"
version = "{version}"
dependencies = {requires}
"""


def make(root: Path, name: str, version: str, *requires: str) -> None:
    folder = root / "packages" / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        PROJECT.format(name=name, version=version, requires=list(requires))
    )
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version}\n")


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Member]:
    make(tmp_path, "top", "0.2.0", "middle>=0.4.0,<0.5")
    make(tmp_path, "middle", "0.4.1", "base>=0.3.1,<0.4", "tokenizers>=0.22")
    make(tmp_path, "base", "0.3.1")
    return members(tmp_path)


def test_members_stand_in_ladder_order(known: dict[str, Member]) -> None:
    assert list(known) == ["base", "middle", "top"]
    *lower, top = members()
    assert (lower[0], top) == ("hf-hub-io", "hf-transformers")


def test_a_change_affects_what_stands_above(known: dict[str, Member]) -> None:
    assert above(known, ["middle"]) == ["middle", "top"]
    assert changed.affected(["packages/middle/src/m.py"], known) == ["middle", "top"]
    assert changed.affected(["docs/index.md", "README.md"], known) == []
    assert changed.affected(["docs/index.md", "pyproject.toml"], known) == ["base", "middle", "top"]


def test_true_ranges_pass(known: dict[str, Member]) -> None:
    assert pins.faults(known) == []
    assert pins.faults(members()) == []


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("base>=0.3.1,<0.4", "the range excludes base 0.4.0, the version in this workspace"),
        ("base>=0.4.0", "a member is required by a floor and a ceiling, as in '>=0.3.1,<0.4'"),
        ("regex", "it has no lowest version; write the oldest one the tests pass with"),
        (
            "tokenizers>=0.23.2",
            "the range excludes 0.23.1, the version on the GPU machine (tools/gpu_check.py)",
        ),
    ],
)
def test_untrue_ranges_are_named(requirement: str, fault: str, tmp_path: Path) -> None:
    make(tmp_path, "base", "0.4.0")
    make(tmp_path, "top", "0.1.0", requirement)
    assert pins.faults(members(tmp_path)) == [f"top requires '{Requirement(requirement)}': {fault}"]


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (
            "bottom/v1.0",
            "tag 'bottom/v1.0' names no package; expected NAME/vVERSION with NAME one of base, middle",
        ),
        ("base/vnext", "tag 'base/vnext': 'next' is no version; expected base/v0.3.1"),
        ("base/v0.3.2", "tag 'base/v0.3.2': base is at 0.3.1 in its pyproject.toml; the two must be equal"),
    ],
)
def test_wrong_tags_stop_a_release(tag: str, message: str, known: dict[str, Member]) -> None:
    with pytest.raises(SystemExit, match=message.replace(".", r"\.")):
        release.named(tag, known)


def test_a_release_needs_its_changelog(known: dict[str, Member]) -> None:
    assert release.named("base/v0.3.1", known).name == "base"
    (known["base"].path / "CHANGELOG.md").write_text("# Changelog\n")
    with pytest.raises(SystemExit, match=r"has no section '## 0\.3\.1'"):
        release.named("base/v0.3.1", known)


def test_unknown_packages_are_refused(known: dict[str, Member]) -> None:
    assert workspace.select(None, known) == ["base", "middle", "top"]
    with pytest.raises(SystemExit, match="no package is called bse; known: base, middle, top"):
        workspace.select(["bse"], known)


def test_wheels_are_unpacked_without_an_installer(tmp_path: Path) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "site"
    with pytest.raises(SystemExit, match="no wheels in"):
        gpu_check.unpack(wheels, target)
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "small-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("small/__init__.py", "")
    gpu_check.unpack(wheels, target)
    assert (target / "small" / "__init__.py").exists()
    config = gpu_check.pytest_config(target).read_text()
    assert "gpu: needs a CUDA device" in config


def test_surface_shows_names_signatures_and_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
from dataclasses import dataclass
__all__ = ["LIMIT", "Box", "grow"]
LIMIT = 3
def grow(size: int, *, by: float = 1.5) -> float: return size * by
@dataclass(frozen=True)
class Box:
    width: int = 2
    @property
    def area(self) -> int: return self.width ** 2
    @classmethod
    def unit(cls) -> "Box": return cls(1)
    def _hidden(self) -> None: ...
"""
    make(tmp_path, "surface-example", "1.0")
    (tmp_path / "surface_example.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert list(surface.lines(members(tmp_path)["surface-example"])) == [
        "class Box",
        "    __init__(self, width: int = 2) -> None",
        "    area: int  # property",
        "    unit(cls) -> Box  # classmethod",
        "    width: int",
        "LIMIT: int",
        "def grow(size: int, *, by: float = 1.5) -> float",
    ]


def test_changed_reads_the_history(tmp_path: Path) -> None:
    """The command itself, on a copy of its own files in a repository with two commits."""
    make(tmp_path, "base", "0.1.0")
    make(tmp_path, "top", "0.1.0", "base>=0.1.0,<0.2")
    shutil.copytree(
        workspace.ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("bench", "tests")
    )

    def git(*words: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    def show(base: str) -> str:
        command = [sys.executable, "-m", "tools.changed", "--base", base, "--json"]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init")
    git("add", "packages")
    git("commit", "-m", "first")
    (tmp_path / "packages" / "top" / "new.py").write_text("")
    git("add", "packages")
    git("commit", "-m", "second")
    assert show("HEAD~1") == '["top"]'
    assert show("0" * 40) == '["base", "top"]'
