"""A repository that is a folder on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import final

from hf_hub_io.errors import FileMissingError


@final
@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder as a `Source`: nothing is fetched, no socket is opened. `Repo` has checked the names.

    Links may lead out of the folder: people link weights into place, and a snapshot in the Hub cache is all
    links. Names may not.
    """

    root: Path

    def find(self, name: str) -> Path | None:
        """The file, if it is there."""
        path = self.root / name
        return path if path.is_file() else None

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        return self.find(name) is not None

    def names(self) -> tuple[str, ...]:
        """Every file, sorted; hidden folders hold version control and caches and are left out."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            base = Path(folder).relative_to(self.root)
            found += ((base / name).as_posix() for name in files)
        return tuple(sorted(found))

    def fetch(self, names: tuple[str, ...]) -> dict[str, Path | None]:
        """Several files, as `find`."""
        return {name: self.find(name) for name in names}

    def snapshot(self, patterns: tuple[str, ...]) -> Path:
        """The folder itself."""
        return self.root

    def missing(self, name: str) -> FileMissingError:
        """The error that says why `find` gave nothing for `name`."""
        return no_such_file(name, self.names(), repo=str(self.root), commit=None)


def no_such_file(name: str, names: tuple[str, ...], *, repo: str, commit: str | None) -> FileMissingError:
    """The error for a file that a repository does not have, with the nearest names that it has."""
    near = get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    at = f" at commit {commit}" if commit else ""
    fix = f"use a file that is there: {', '.join(near)}" if near else "the folder is empty; check its path"
    return FileMissingError(f"{repo}{at} has no file {name!r}", fix=fix, repo=repo, revision=commit)
