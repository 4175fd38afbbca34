"""One door to a checkpoint's files, whether they lie in a folder or on the Hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, final

from hf_hub_io.errors import RepoError
from hf_hub_io.jsonio import JsonValue, read_json_object
from hf_hub_io.local import LocalFolder
from hf_hub_io.paths import safe_name


class Source(Protocol):
    """Where a repository's files come from. Names are relative POSIX paths that `safe_name` accepted."""

    def find(self, name: str) -> Path | None:
        """The file on this machine, fetched if needed; None when the repository has no such file."""

    def has(self, name: str) -> bool:
        """Whether the repository has the file; the file itself is not fetched."""

    def names(self) -> tuple[str, ...]:
        """Every file of the repository, sorted."""

    def fetch(self, names: tuple[str, ...]) -> dict[str, Path | None]:
        """Several files, as `find`."""

    def snapshot(self, patterns: tuple[str, ...]) -> Path:
        """A folder that holds every file that matches one of `patterns`."""

    def missing(self, name: str) -> RepoError:
        """The error that says why `find` gave nothing for `name`."""


@final
@dataclass(frozen=True, kw_only=True)
class Repo:
    """A checkpoint repository at one commit: files by name, fetched when first asked for.

    `commit` is the full hash for a Hub repository and None for a local folder. Names are relative to
    `subfolder`.
    """

    id: str
    commit: str | None
    is_local: bool
    subfolder: str = ""
    source: Source = field(repr=False, compare=False)

    @classmethod
    def open(
        cls,
        id_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        endpoint: str | None = None,
    ) -> Repo:
        """The repository behind a local folder or a Hub id such as `"org/name"`.

        A folder that exists wins over a Hub id of the same spelling, and never touches the network. A
        `revision` that is a full commit hash costs no request either; any other is resolved by one
        request, or from the cache when the network is off (`local_files_only`, HF_HUB_OFFLINE=1) or does
        not answer. `token`: an access token, True for the stored one, False for none, None for the stored
        one if any.

        Raises RepoNotFoundError, RepoGatedError, TokenRefusedError, RevisionNotFoundError, OfflineMissError,
        HubUnreachableError.
        """
        if subfolder:
            safe_name(subfolder.rstrip("/"))
        subfolder = subfolder.rstrip("/")
        folder = Path(id_or_path).expanduser()
        if folder.is_dir():
            return cls(
                id=str(id_or_path),
                commit=None,
                is_local=True,
                subfolder=subfolder,
                source=LocalFolder(folder),
            )
        from hf_hub_io.hub import open_hub_repo

        source = open_hub_repo(
            id_or_path,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            endpoint=endpoint,
        )
        return cls(
            id=source.repo_id, commit=source.commit, is_local=False, subfolder=subfolder, source=source
        )

    def find(self, name: str) -> Path | None:
        """The path of file `name` on this machine, or None when there is none. Raises UnsafePathError."""
        return self.source.find(self._full(name))

    def file(self, name: str) -> Path:
        """The path of file `name` on this machine. Raises FileMissingError, and as `open`."""
        path = self.find(name)
        if path is None:
            raise self.why_missing(name)
        return path

    def has(self, name: str) -> bool:
        """Whether the repository has file `name`; the file itself is not fetched. Raises UnsafePathError."""
        return self.source.has(self._full(name))

    def why_missing(self, name: str) -> RepoError:
        """The error that says why `find` gave None: there is no such file, or offline it is not cached."""
        return self.source.missing(self._full(name))

    def fetch(self, names: tuple[str, ...]) -> dict[str, Path | None]:
        """The paths of several files, None for those that do not exist; fetched several at a time."""
        found = self.source.fetch(tuple(map(self._full, names)))
        return {name: found[self._full(name)] for name in names}

    def list(self) -> tuple[str, ...]:
        """Every file under `subfolder`, sorted, relative to it."""
        prefix = f"{self.subfolder}/" if self.subfolder else ""
        return tuple(name.removeprefix(prefix) for name in self.source.names() if name.startswith(prefix))

    def read_json(self, name: str) -> dict[str, JsonValue]:
        """The JSON object in file `name`. Raises FileMissingError, JsonFileError."""
        return read_json_object(self.file(name))

    def snapshot(self, patterns: tuple[str, ...] = ("*",)) -> Path:
        """A local folder with every file that matches a glob pattern; `*` also matches `/`.

        For a local repository that is the folder itself. Raises as `file`.
        """
        prefix = f"{self.subfolder}/" if self.subfolder else ""
        root = self.source.snapshot(tuple(prefix + pattern for pattern in patterns))
        return root / self.subfolder if self.subfolder else root

    def _full(self, name: str) -> str:
        return safe_name(f"{self.subfolder}/{name}" if self.subfolder else name)
