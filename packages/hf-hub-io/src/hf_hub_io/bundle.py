"""Carrying locked repositories to a machine without a network: one tar file, checked on both sides."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import IO

from hf_hub_io.atomic import atomic_open
from hf_hub_io.cache import RepoCache
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.environment import cache_folder
from hf_hub_io.errors import LockError
from hf_hub_io.lock import LOCK_NAME, Lock, LockedFile, LockedRepo
from hf_hub_io.paths import safe_join

_CHUNK_BYTES = 1 << 20
_MAX_LOCK_BYTES = 64 << 20


def export_bundle(lock: Lock, path: str | Path, *, cache_dir: str | Path | None = None) -> None:
    """Writes every file of `lock` into one tar file at `path`, after fetching and checking what is missing.

    The same lock always gives the same bytes. Raises LockMismatchError, and what fetching raises.
    """
    for locked in lock.repos.values():
        locked.verify(cache_dir=cache_dir)
    with atomic_open(path) as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        text = lock.render().encode()
        tar.addfile(_member(LOCK_NAME, len(text)), io.BytesIO(text))
        for locked in sorted(lock.repos.values(), key=lambda repo: repo.id):
            repo = locked.open(cache_dir=cache_dir, local_files_only=True)
            for name, file in sorted(locked.files.items()):
                with repo.file(name).open("rb") as data:
                    tar.addfile(_member(_member_name(locked, name), file.size), data)


def import_bundle(path: str | Path, *, cache_dir: str | Path | None = None) -> Lock:
    """Puts the files of a bundle into the Hub cache and gives its lock; they then open without a network.

    Every repository appears in one step, after all its files were compared with their hashes. Members
    that the lock does not list, links and special files are refused. Raises LockError, JsonFileError,
    FileNotFoundError.
    """
    path = Path(path)
    root = Path(cache_dir).expanduser() if cache_dir is not None else cache_folder()
    try:
        with tarfile.open(path, mode="r:") as tar:
            lock = _read_lock(tar, path)
            _check_members(tar, lock, path)
            for locked in lock.repos.values():
                _import_repo(tar, locked, RepoCache(root, locked.id), path)
    except tarfile.TarError as error:
        raise _bad(path, f"is not a readable tar file: {error}") from None
    return lock


def _import_repo(tar: tarfile.TarFile, locked: LockedRepo, cache: RepoCache, path: Path) -> None:
    with AtomicDirectory(cache.snapshot(locked.commit)) as stage:
        for name, file in locked.files.items():
            source = tar.extractfile(_member_name(locked, name))
            assert source is not None, "_check_members let only regular files pass"
            target = safe_join(stage, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as out:
                _copy_checked(source, out, file, f"{name} of {locked.id}", path)
    cache.note_resolved(locked.revision, locked.commit)


def _copy_checked(source: IO[bytes], out: IO[bytes], expected: LockedFile, what: str, path: Path) -> None:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        out.write(chunk)
    if digest.hexdigest() != expected.sha256:
        raise _bad(
            path, f"holds a {what} with the sha256 {digest.hexdigest()}; its lock says {expected.sha256}"
        )


def _read_lock(tar: tarfile.TarFile, path: Path) -> Lock:
    first = tar.next()
    if first is None or first.name != LOCK_NAME or not first.isreg() or first.size > _MAX_LOCK_BYTES:
        raise _bad(path, f"does not start with an {LOCK_NAME}")
    data = tar.extractfile(first)
    assert data is not None, "a regular file has content"
    return Lock.parse(data.read(), source=f"{path}:{LOCK_NAME}")


def _check_members(tar: tarfile.TarFile, lock: Lock, path: Path) -> None:
    """The bundle holds exactly the files that its lock lists, as regular files of the listed size."""
    wanted = {
        _member_name(repo, name): file.size
        for repo in lock.repos.values()
        for name, file in repo.files.items()
    }
    seen: set[str] = {LOCK_NAME}
    for member in tar.getmembers()[1:]:
        if member.name not in wanted or member.name in seen or not member.isreg():
            raise _bad(path, f"holds {member.name!r}, which its lock does not list as a file")
        if member.size != wanted[member.name]:
            raise _bad(
                path, f"holds {member.name!r} of {member.size:,} bytes; its lock says {wanted[member.name]:,}"
            )
        seen.add(member.name)
    if lacking := sorted(wanted.keys() - seen):
        raise _bad(path, f"lacks {len(lacking)} files that its lock lists: {', '.join(lacking[:5])}")


def _member(name: str, size: int) -> tarfile.TarInfo:
    # All other fields keep their defaults (owner 0, time 0), so that bundles are reproducible.
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _member_name(repo: LockedRepo, name: str) -> str:
    return f"files/{repo.id}/{repo.commit}/{name}"


def _bad(path: Path, problem: str) -> LockError:
    return LockError(f"{path} {problem}", fix="make the bundle again with export_bundle, or copy it again")
