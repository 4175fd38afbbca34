"""`hf.lock`: which repositories, commits and files an application uses, with the hash of every file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from hf_hub_io.atomic import atomic_write_text
from hf_hub_io.cache import is_commit
from hf_hub_io.errors import LockError, LockMismatchError, UnsafePathError
from hf_hub_io.jsonio import JsonLike, JsonValue, dump_json, parse_json_object
from hf_hub_io.paths import safe_name
from hf_hub_io.repo import Repo

LOCK_NAME = "hf.lock"
LOCK_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """A file's size in bytes and its sha256."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedRepo:
    """One repository at one commit: the files that are used, and the revision that was asked for."""

    id: str
    commit: str
    revision: str
    files: Mapping[str, LockedFile]

    def open(self, *, cache_dir: str | Path | None = None, local_files_only: bool = False) -> Repo:
        """The repository at the locked commit. Raises as `Repo.open`."""
        return Repo.open(
            self.id, revision=self.commit, cache_dir=cache_dir, local_files_only=local_files_only
        )

    def verify(self, *, cache_dir: str | Path | None = None, local_files_only: bool = False) -> None:
        """Fetches what is missing and compares every file with its hash.

        Raises LockMismatchError that names every file that differs, and what fetching raises.
        """
        repo = self.open(cache_dir=cache_dir, local_files_only=local_files_only)
        differ = []
        for name, locked in self.files.items():
            found = hash_file(repo.file(name))
            if found != locked:
                differ.append(
                    f"{name} ({found.size:,} bytes, sha256 {found.sha256[:12]}...; "
                    f"locked {locked.size:,}, {locked.sha256[:12]}...)"
                )
        if differ:
            raise LockMismatchError(
                f"{len(differ)} files of {self.id} at {self.commit} differ from the lock: "
                + "; ".join(differ),
                fix="delete these files from the cache and fetch them again",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """The content of an `hf.lock`: repositories by id."""

    repos: Mapping[str, LockedRepo] = field(default_factory=dict)

    def with_repo(self, locked: LockedRepo) -> Lock:
        """This lock with one repository added or replaced."""
        return Lock(repos=MappingProxyType({**self.repos, locked.id: locked}))

    def write(self, path: str | Path) -> None:
        """Writes the lock to a file, atomically."""
        atomic_write_text(path, self.render())

    def render(self) -> str:
        """The lock as JSON, sorted, so that a change shows as a small difference."""
        repos: dict[str, JsonLike] = {
            repo.id: {
                "commit": repo.commit,
                "revision": repo.revision,
                "files": {name: {"size": f.size, "sha256": f.sha256} for name, f in repo.files.items()},
            }
            for repo in self.repos.values()
        }
        return dump_json({"version": LOCK_VERSION, "repos": repos}, sort_keys=True)

    @classmethod
    def read(cls, path: str | Path) -> Lock:
        """The lock in the file at `path`. Raises LockError, JsonFileError, FileNotFoundError."""
        return cls.parse(Path(path).read_bytes(), source=str(path))

    @classmethod
    def parse(cls, data: bytes, *, source: str) -> Lock:
        """The lock in JSON text. Raises LockError, JsonFileError."""
        content = parse_json_object(data, source=source, unique_keys=True)
        repos = content.get("repos")
        if content.get("version") != LOCK_VERSION or not isinstance(repos, dict):
            raise _bad(source, f"is not an hf.lock of version {LOCK_VERSION}")
        return cls(
            repos=MappingProxyType({id_: _locked_repo(id_, repo, source) for id_, repo in repos.items()})
        )


def lock_repo(repo: Repo, *, revision: str = "main", patterns: tuple[str, ...] = ("*",)) -> LockedRepo:
    """Fetches the files of `repo` that match a pattern and records their hashes.

    `revision` is what to call this commit on a machine that asks by branch. Raises LockError for a local
    folder, and what fetching raises.
    """
    if repo.commit is None:
        raise LockError(f"{repo.id} is a local folder and has no commit to lock", fix="lock a Hub repository")
    root = repo.snapshot(patterns)
    wanted = [
        name
        for name in repo.list()
        if (root / name).is_file() and any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    files = {name: hash_file(root / name) for name in sorted(wanted)}
    return LockedRepo(id=repo.id, commit=repo.commit, revision=revision, files=MappingProxyType(files))


def hash_file(path: Path) -> LockedFile:
    """Size and sha256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return LockedFile(size=size, sha256=digest.hexdigest())


def _locked_repo(id_: str, value: JsonValue, source: str) -> LockedRepo:
    match value:
        case {"commit": str(commit), "revision": str(revision), "files": dict(files)} if is_commit(commit):
            pass
        case _:
            raise _bad(source, f"describes {id_!r} by something else than commit, revision and files")
    try:
        for name in (id_, revision, *files):
            safe_name(name)
    except UnsafePathError as error:
        raise _bad(source, f"describes {id_!r}: {error.what}") from None
    return LockedRepo(
        id=id_,
        commit=commit,
        revision=revision,
        files=MappingProxyType({name: _locked_file(name, file, source) for name, file in files.items()}),
    )


def _locked_file(name: str, value: JsonValue, source: str) -> LockedFile:
    match value:
        case {"size": int(size), "sha256": str(sha256)} if size >= 0 and _SHA256.fullmatch(sha256):
            return LockedFile(size=size, sha256=sha256)
    raise _bad(source, f"describes {name!r} by something else than size and sha256")


def _bad(source: str, problem: str) -> LockError:
    return LockError(f"{source} {problem}", fix="make the lock again with lock_repo")
