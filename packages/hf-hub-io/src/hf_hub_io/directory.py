"""Replacing the content of a folder in one step, so that a reader finds the old files or the new ones."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import final

from hf_hub_io.atomic import sync_directory


@final
class AtomicDirectory:
    """A folder that is written aside and takes its place when the block ends well.

    ```
    with AtomicDirectory("out", replaces=("model*.safetensors*",)) as stage:
        save_tensors(stage, tensors)
        atomic_write_json(stage / "config.json", config)
    ```

    `stage` is an empty folder next to the target, on the same file system. Files that the target already
    has stay, except those that the stage writes anew and those whose name matches a glob in `replaces`
    (shards of an older, larger save, say). A process killed at any moment leaves the target as it was or
    as it is to be; the stage it left behind is removed by the next save of the same target on the same
    machine.

    On Linux and macOS the exchange is one system call. Elsewhere, and on file systems without that call,
    the old folder is moved aside first; a kill in that instant is healed by the next `AtomicDirectory` of
    the target, or by hand: the old folder is next to it, called `.NAME.old-...`.
    """

    def __init__(self, target: str | Path, *, replaces: Sequence[str] = ()) -> None:
        # A link to a folder stays a link: its target is what gets replaced.
        self.target = Path(os.path.realpath(target))
        self.replaces = tuple(replaces)
        self._stage: Path | None = None

    def __enter__(self) -> Path:
        parent = self.target.parent
        parent.mkdir(parents=True, exist_ok=True)
        if self.target.exists() and not self.target.is_dir():
            raise FileExistsError(errno.EEXIST, "the target of an atomic folder is a file", str(self.target))
        _clean_up(self.target)
        self._stage = parent / _aside(self.target, "new")
        self._stage.mkdir()
        return self._stage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage, self._stage = self._stage, None
        assert stage is not None, "__exit__ follows __enter__"
        try:
            if kind is None:
                _commit(stage, self.target, self.replaces)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _aside(target: Path, role: str) -> str:
    return f"{_prefix(target)}{role}-{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


def _prefix(target: Path) -> str:
    """How names beside the target begin; short, so that a long target name leaves room for the rest."""
    raw = os.fsencode(target.name)
    name = target.name if len(raw) <= 100 else hashlib.sha256(raw).hexdigest()[:32]
    return f".{name}."


def _commit(stage: Path, target: Path, replaces: tuple[str, ...]) -> None:
    """Makes `stage` the target; on return `stage` holds what is no longer needed, or is gone."""
    written = set(_files(stage))
    for name in written:
        _sync_file(stage / name)
    if target.is_dir() or not _take_free_name(stage, target):
        _keep(target, stage, written, replaces)
        _sync_folders(stage)
        _exchange(stage, target)
        # What others added to the old folder between the copy and the exchange must not be lost.
        _keep(stage, target, written, replaces)
    sync_directory(target.parent)


def _take_free_name(stage: Path, target: Path) -> bool:
    """Renames the stage to the target; False when another process was faster."""
    _sync_folders(stage)
    try:
        os.rename(stage, target)
    except OSError:
        if target.is_dir():
            return False
        raise
    return True


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        sync_directory(Path(folder))


def _files(root: Path) -> list[str]:
    """Every file and link below `root`, relative, hidden ones included."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found += (str(Path(folder, name).relative_to(root)) for name in files + links)
    return found


def _keep(source: Path, into: Path, written: set[str], replaces: tuple[str, ...]) -> None:
    """Gives `into` every file of `source` it lacks and that is not replaced: as a second name, or a copy."""
    for name in _files(source):
        if name in written or any(fnmatchcase(Path(name).as_posix(), pattern) for pattern in replaces):
            continue
        old, new = source / name, into / name
        if os.path.lexists(new):
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(old, new, follow_symlinks=False)
        except FileNotFoundError:  # a file that its owner removed meanwhile
            continue
        except OSError:  # a file system without hard links
            shutil.copy2(old, new, follow_symlinks=False)


def _sync_file(path: Path) -> None:
    if path.is_symlink():
        return
    # A read-only file can be synced too, except on Windows, where a writable handle is needed.
    with path.open("rb+" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())


def _exchange(stage: Path, target: Path) -> None:
    if _exchange_names(stage, target):
        return
    old = target.parent / _aside(target, "old")
    os.rename(target, old)
    os.rename(stage, target)
    os.rename(old, stage)


def _exchange_names(one: Path, other: Path) -> bool:
    """Swaps two names in one step; False where system or file system cannot."""
    import ctypes

    here = -100 if sys.platform == "linux" else -2  # AT_FDCWD
    exchange = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
    name = {"linux": "renameat2", "darwin": "renameatx_np"}.get(sys.platform)
    if name is None:
        return False
    try:
        function = ctypes.CDLL(None, use_errno=True)[name]
    except (AttributeError, OSError):  # a C library older than the call
        return False
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if function(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _clean_up(target: Path) -> None:
    """Heals what a killed save left: an old folder without a target, stages without a process."""
    prefix, host = _prefix(target), socket.gethostname()
    for path in sorted(target.parent.iterdir()):
        if not path.name.startswith(prefix):
            continue
        role, _, rest = path.name.removeprefix(prefix).partition("-")
        if role not in ("new", "old") or not rest.startswith(f"{host}-"):
            continue
        pid = rest.removeprefix(f"{host}-").partition("-")[0]
        if not pid.isdigit() or _alive(int(pid)):
            continue
        if role == "old" and not target.exists():
            os.rename(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # no harmless probe there; a stale stage then waits for its owner to remove it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
