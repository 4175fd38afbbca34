"""One gate for every file name that comes out of a repository, an index or an archive."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hf_hub_io.errors import UnsafePathError

_WINDOWS_DEVICE = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_MAX_NAME_BYTES = 255  # of one path component on the file systems in use
_MAX_DEPTH = 64


def safe_name(name: str) -> str:
    """`name` unchanged, when it is a plain relative POSIX path that means the same file on every system.

    Refuses absolute paths, `.` and `..`, empty components, backslashes, control characters, drive letters and
    streams (`:`), Windows device names, components that end in a dot or space, and names too long to create.
    Raises UnsafePathError.
    """
    parts = name.split("/")
    reason = None
    if len(parts) > _MAX_DEPTH:
        reason = f"it is {len(parts)} folders deep"
    elif name.startswith("/"):
        reason = "it is absolute"
    elif found := _FORBIDDEN.search(name):
        reason = f"it contains {found.group()!r}"
    else:
        reason = next((why for part in parts if (why := _component_problem(part))), None)
    if reason is not None:
        shown = name if len(name) <= 120 else name[:117] + "..."
        raise UnsafePathError(
            f"the file name {shown!r} is refused: {reason}",
            fix="names must be relative paths inside the repository; use this one only if you wrote it",
        )
    return name


def _component_problem(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"it has the component {part!r}"
    if part.endswith((".", " ")) or part.startswith(" "):
        return (
            f"its component {part!r} starts with a space or ends in a dot or space, which some systems drop"
        )
    if _WINDOWS_DEVICE.fullmatch(part):
        return f"{part!r} names a device on Windows"
    try:
        encoded = part.encode("utf-8")
    except UnicodeEncodeError:
        return f"its component {part!r} is not valid Unicode"
    return f"its component is {len(encoded)} bytes long" if len(encoded) > _MAX_NAME_BYTES else None


def safe_join(root: str | Path, name: str, *, follow: bool = False) -> Path:
    """The path of the repository file `name` under `root`, which is certain to lie inside `root`.

    Symbolic links on the way must not lead out of `root`; `follow` allows it, for a Hub cache, whose
    snapshots consist of links to `../../blobs`. The file need not exist. Raises UnsafePathError.
    """
    path = Path(root, safe_name(name))
    if not follow:
        real_root, real = os.path.realpath(root), os.path.realpath(path)
        if os.path.commonpath((real_root, real)) != real_root:
            raise UnsafePathError(
                f"{path} is refused: a symbolic link on the way leads out of {root}, to {real}",
                fix="replace the link by the file it points to",
            )
    return path
