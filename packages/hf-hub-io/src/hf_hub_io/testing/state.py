"""What the fake Hub holds: repositories with commits, tokens, planned failures, and the requests it saw."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

LFS_THRESHOLD_BYTES = 1024
"""Files of at least this size are stored as large files, whose ETag is a sha256."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Drops the connection after `after` bytes of a file's content."""

    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Refuse:
    """Answers with an error status instead."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


Fault: TypeAlias = Cut | Refuse


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request that the server answered."""

    method: str
    path: str
    status: int
    range: str | None = None


@dataclass(kw_only=True, slots=True)
class FakeRepo:
    """A repository: its commits, what its branches and tags point to, and who may read it."""

    id: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    granted: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    titles: dict[int, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], *, ref: str = "main", message: str = "") -> str:
        """Adds a commit with exactly these files, moves `ref` to it, and gives its hash."""
        digest = hashlib.sha1(f"{self.id} {len(self.commits)}".encode(), usedforsecurity=False)
        for name, data in sorted(files.items()):
            digest.update(name.encode() + b"\0" + data)
        commit = digest.hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        self.messages.append(message)
        return commit

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit hash stands for."""
        return revision if revision in self.commits else self.refs.get(revision)

    def next_pull_request(self) -> int:
        """The number that the next pull request gets."""
        return 1 + sum(ref.startswith("refs/pr/") for ref in self.refs)

    def may_read(self, token: str | None) -> bool:
        """Whether a gated repository's files are open to this token."""
        return not self.gated or token in self.granted


def is_large(data: bytes) -> bool:
    """Whether a file is kept as a large file."""
    return len(data) >= LFS_THRESHOLD_BYTES


def git_hash(data: bytes) -> str:
    """The hash that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def etag(data: bytes) -> str:
    """The ETag of a file: sha256 for a large one, the git hash otherwise."""
    return hashlib.sha256(data).hexdigest() if is_large(data) else git_hash(data)


def tree_entry(name: str, data: bytes) -> dict[str, object]:
    """How the tree endpoint describes a file."""
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": git_hash(data)}
    if is_large(data):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
    return entry
