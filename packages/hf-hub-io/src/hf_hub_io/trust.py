"""Running code that comes with a repository: only code that somebody vouched for, byte by byte.

This is the only place of the project that imports anything from a repository.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

from hf_hub_io.cache import is_commit
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.environment import hub_home
from hf_hub_io.errors import FileMissingError, RemoteCodeRefusedError
from hf_hub_io.paths import safe_join
from hf_hub_io.repo import Repo

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODULE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py")
_import_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """A person's word for exactly one state of a repository's code: a commit, and a hash of its Python files.

    Raises RemoteCodeRefusedError when either is not a full hash: a branch or tag can point elsewhere
    tomorrow.
    """

    revision: str
    sha256: str

    def __post_init__(self) -> None:
        if not is_commit(self.revision) or _SHA256.fullmatch(self.sha256) is None:
            raise RemoteCodeRefusedError(
                f"Trust(revision={self.revision!r}, sha256={self.sha256!r}) does not pin anything",
                fix="give the full commit hash (40 hex digits) and the full content hash (64 hex digits)",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteCode:
    """The Python files of a repository as bytes, and the hash that stands for all of them together."""

    repo: str
    commit: str | None
    files: Mapping[str, bytes]
    sha256: str


def read_remote_code(repo: Repo) -> RemoteCode:
    """Every Python file of `repo`, as bytes; nothing is run. Raises FileMissingError when it has none."""
    names = tuple(name for name in repo.list() if name.endswith(".py"))
    if not names:
        raise FileMissingError(
            f"{repo.id} has no Python files", fix="it needs no trust", repo=repo.id, revision=repo.commit
        )
    files = {name: repo.file(name).read_bytes() for name in names}
    return RemoteCode(repo=repo.id, commit=repo.commit, files=MappingProxyType(files), sha256=_hash(files))


def trusted_code(repo: Repo, trust: Trust | None) -> RemoteCode:
    """The Python files of `repo`, if they are exactly what `trust` vouches for.

    A local folder has no commit, so there the content hash alone decides. Raises RemoteCodeRefusedError.
    """
    code = read_remote_code(repo)
    review = f"read {', '.join(sorted(code.files)[:5])}; if you would run them, pass "
    pin = f"trust=Trust(revision={(code.commit or '0' * 40)!r}, sha256={code.sha256!r})"
    if trust is None:
        raise RemoteCodeRefusedError(
            f"{repo.id} wants to run its own code, and nothing vouches for it", fix=review + pin
        )
    if code.commit is not None and trust.revision != code.commit:
        raise RemoteCodeRefusedError(
            f"{repo.id} is open at commit {code.commit}, and trust was given for {trust.revision}",
            fix=f"open it with revision={trust.revision!r}; or {review}{pin}",
        )
    if trust.sha256 != code.sha256:
        raise RemoteCodeRefusedError(
            f"the code of {repo.id} has the content hash {code.sha256}, trust was given for {trust.sha256}",
            fix=f"the code changed: {review}{pin}",
        )
    return code


def import_trusted(repo: Repo, file: str, trust: Trust | None) -> ModuleType:
    """The module in `file` at the top of `repo`, imported after `trusted_code` let it pass.

    Its siblings can be imported relatively (`from .configuration_x import X`). What is executed is a
    private copy of the very bytes that were hashed. Raises RemoteCodeRefusedError, FileMissingError.
    """
    code = trusted_code(repo, trust)
    if file not in code.files or not _MODULE_NAME.fullmatch(file):
        raise FileMissingError(
            f"{repo.id} has no Python module {file!r} at its top",
            fix=f"use one of {', '.join(sorted(code.files)[:5])}",
            repo=repo.id,
            revision=repo.commit,
        )
    package = f"hf_trusted_{code.sha256}"
    with _import_lock:
        if package not in sys.modules:
            _install_package(package, _private_copy(code))
        return importlib.import_module(f"{package}.{file.removesuffix('.py')}")


def _install_package(name: str, folder: Path) -> None:
    """Makes a folder importable under a name that no other code can have."""
    spec = importlib.util.spec_from_loader(name, loader=None, is_package=True)
    assert spec is not None, "a spec without a loader is a namespace package"
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = importlib.util.module_from_spec(spec)


def _private_copy(code: RemoteCode) -> Path:
    """A folder of ours with exactly the code's bytes; a copy that somebody touched is made anew."""
    folder = hub_home() / "trusted_code" / code.sha256
    there = {path.name: path.read_bytes() for path in folder.glob("*.py")} if folder.is_dir() else {}
    if there != {name: data for name, data in code.files.items() if "/" not in name}:
        with AtomicDirectory(folder, replaces=("*",)) as stage:
            for name, data in code.files.items():
                path = safe_join(stage, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return folder


def _hash(files: Mapping[str, bytes]) -> str:
    """One hash over names and contents, in an encoding where no two different sets look alike."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big") + hashlib.sha256(part).digest())
    return digest.hexdigest()
