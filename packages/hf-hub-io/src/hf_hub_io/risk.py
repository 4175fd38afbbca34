"""What in a repository could run code, told without running or fetching it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from hf_hub_io.errors import UnsafePathError
from hf_hub_io.jsonio import JsonValue
from hf_hub_io.paths import safe_name
from hf_hub_io.repo import Repo


class Risk(StrEnum):
    """Why a file deserves a look."""

    PICKLE = "reading it can run code"
    CODE = "is code"
    CODE_REFERENCE = "asks to run code of a repository"
    BINARY = "is a program, library or archive"
    NAME = "has a name that leaves its folder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One risky file of a repository."""

    file: str
    risk: Risk
    detail: str


_BY_SUFFIX = {
    **dict.fromkeys(
        (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz"), Risk.PICKLE
    ),
    **dict.fromkeys((".h5", ".keras", ".pb"), Risk.PICKLE),
    **dict.fromkeys((".py", ".pyc", ".ipynb", ".sh", ".bat", ".ps1", ".js"), Risk.CODE),
    **dict.fromkeys(
        (".so", ".dll", ".dylib", ".exe", ".jar", ".whl", ".zip", ".tar", ".gz", ".7z"), Risk.BINARY
    ),
}
_CONFIGS = frozenset(
    {"config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"}
)


def scan(repo: Repo) -> tuple[Finding, ...]:
    """Every risky file of `repo`, by name; of its content only small configuration files are read.

    Raises what listing and reading raise.
    """
    findings: list[Finding] = []
    names = set(repo.list())
    for name in sorted(names):
        try:
            safe_name(name)
        except UnsafePathError as error:
            findings.append(Finding(file=name, risk=Risk.NAME, detail=error.what))
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if (risk := _BY_SUFFIX.get(suffix)) is not None:
            findings.append(Finding(file=name, risk=risk, detail=f"{suffix} file"))
    for name in sorted(names & _CONFIGS):
        code = _references(repo.read_json(name).get("auto_map"))
        detail = f"auto_map names {', '.join(code)}"
        findings += [Finding(file=name, risk=Risk.CODE_REFERENCE, detail=detail)] if code else []
    return tuple(findings)


def _references(auto_map: JsonValue) -> list[str]:
    """The class names that an `auto_map` points to, in whatever nesting."""
    match auto_map:
        case str():
            return [auto_map]
        case list():
            return [name for entry in auto_map for name in _references(entry)]
        case dict():
            return [name for entry in auto_map.values() for name in _references(entry)]
    return []
