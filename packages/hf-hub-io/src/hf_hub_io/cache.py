"""The Hub cache on disk, read and annotated in the standard layout, without any network code.

```
<cache>/models--org--name/refs/main                 the commit that a branch or tag last resolved to
                         /snapshots/<commit>/...    the files of a commit, links to ../../blobs if possible
                         /.no_exist/<commit>/...    empty files: names that the commit does not have
                         /trees/<commit>.json       the names that it has (huggingface_hub 2)
```
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

from hf_hub_io.atomic import atomic_write_text
from hf_hub_io.errors import JsonFileError, UnsafePathError
from hf_hub_io.jsonio import read_json_object
from hf_hub_io.local import LocalFolder
from hf_hub_io.paths import safe_join

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which can never mean anything else later."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


@final
@dataclass(frozen=True, slots=True)
class RepoCache:
    """What the cache folder `root` knows about one model repository. Reading needs no lock."""

    root: Path
    repo_id: str

    @property
    def folder(self) -> Path:
        """The folder of this repository."""
        return self.root / ("models--" + self.repo_id.replace("/", "--"))

    def snapshot(self, commit: str) -> Path:
        """The folder with the files of `commit`; it need not exist."""
        return self.folder / "snapshots" / commit

    def find(self, commit: str, name: str) -> Path | None:
        """The cached file `name` of `commit`."""
        path = safe_join(self.snapshot(commit), name, follow=True)
        return path if path.is_file() else None

    def is_known_missing(self, commit: str, name: str) -> bool:
        """Whether somebody noted that `commit` has no file `name`."""
        return safe_join(self.folder / ".no_exist" / commit, name).is_file()

    def note_missing(self, commit: str, name: str) -> None:
        """Notes that `commit` has no file `name`, where the cache can be written."""
        with contextlib.suppress(OSError):
            atomic_write_text(safe_join(self.folder / ".no_exist" / commit, name), "")

    def resolved(self, revision: str) -> str | None:
        """The commit that `revision` meant when it was last looked up."""
        if is_commit(revision):
            return revision
        try:
            commit = safe_join(self.folder / "refs", revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, UnsafePathError):
            return None
        return commit if is_commit(commit) else None

    def note_resolved(self, revision: str, commit: str) -> None:
        """Notes what `revision` means now, where the cache can be written."""
        if is_commit(revision) or self.resolved(revision) == commit:
            return
        with contextlib.suppress(OSError, UnsafePathError):
            atomic_write_text(safe_join(self.folder / "refs", revision), commit)

    def listing(self, commit: str) -> tuple[str, ...] | None:
        """Every file name of `commit`, sorted, if huggingface_hub stored the list; None otherwise."""
        try:
            content = read_json_object(self.folder / "trees" / f"{commit}.json")
        except (OSError, JsonFileError):
            return None
        files = content.get("files")
        return (
            tuple(sorted(files)) if content.get("format_version") == 1 and isinstance(files, dict) else None
        )

    def cached_names(self, commit: str) -> tuple[str, ...]:
        """The files of `commit` that are in the cache, sorted."""
        return LocalFolder(self.snapshot(commit)).names()
