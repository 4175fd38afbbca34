"""The shape of the repository: what stands where, and what no tracked file may say."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tools.workspace import ROOT, Member, members

TOP_LEVEL = {
    ".ci",
    ".github",
    ".gitignore",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "docs",
    "examples",
    "integration_tests",
    "packages",
    "pyproject.toml",
    "requirements.lock",
    "tools",
}
# Written in two parts, or this file would contain what it forbids.
HOSTS = re.compile(r"pypi\." + r"org|pythonhosted\." + r"org|registry\.npm" + r"js|deb\.deb" + r"ian")
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home)/")


@cache
def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def matches(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        lines = enumerate(text.splitlines(), 1)
        found += [f"{path.relative_to(ROOT)}:{number}" for number, line in lines if pattern.search(line)]
    return found


def test_top_level_is_what_the_readme_shows() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == TOP_LEVEL
    readme = (ROOT / "README.md").read_text()
    assert [name for name in sorted(TOP_LEVEL) if name != ".gitignore" and name not in readme] == []


def test_no_registry_host_is_named() -> None:
    assert matches(HOSTS) == []


def test_no_path_of_a_machine_is_named() -> None:
    assert matches(MACHINE_PATH) == []


def test_no_large_files() -> None:
    bundled = ROOT / "packages/hf-transformers/src/hf_transformers/data/storyteller/model.safetensors"
    large = [path for path in tracked() if path.stat().st_size > 2**20]
    assert large == [bundled], "one model is bundled, for the demo"
    assert bundled.stat().st_size < 12e6


@pytest.mark.parametrize("member", members().values(), ids=lambda member: member.name)
def test_package_is_complete(member: Member) -> None:
    missing = [
        name
        for name in (
            "README.md",
            "CHANGELOG.md",
            "surface.txt",
            f"src/{member.import_name}/py.typed",
            "tests",
        )
        if not (member.path / name).exists()
    ]
    assert missing == []
    assert list(member.path.glob("tests/**/test_*.py")) != []
    assert f"## {member.version}" in (member.path / "CHANGELOG.md").read_text()
    assert "```python" in (member.path / "README.md").read_text()
    project = tomllib.loads((member.path / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["project"]["license"] == "Apache-2.0"
    assert "uv" not in project.get("tool", {}), "sources and indexes belong to the root pyproject.toml"
