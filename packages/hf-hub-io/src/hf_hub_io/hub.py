"""A repository on the Hub at one commit: the cache first, the network only for what it lacks."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import final

from hf_hub_io.cache import RepoCache, is_commit
from hf_hub_io.client import HubClient
from hf_hub_io.environment import cache_folder, offline_switch
from hf_hub_io.errors import (
    FileMissingError,
    HubUnreachableError,
    OfflineMissError,
    RepoError,
    RepoNotFoundError,
)
from hf_hub_io.local import no_such_file
from hf_hub_io.paths import safe_name

PARALLEL_FETCHES = 8  # what huggingface_hub uses for a snapshot
DEFAULT_REVISION = "main"
_log = logging.getLogger(__name__)


@final
class HubRepo:
    """A Hub repository as a `Source`. Safe to share between threads."""

    def __init__(
        self,
        client: HubClient,
        cache: RepoCache,
        *,
        commit: str,
        offline: str | None,
        names: tuple[str, ...] | None,
    ) -> None:
        self.commit = commit
        self._client = client
        self._cache = cache
        self._offline = offline
        self._names = names  # the commit's files, once known; a commit never changes
        self._names_lock = threading.Lock()

    @property
    def repo_id(self) -> str:
        """The Hub id, such as `org/name`."""
        return self._client.repo_id

    def find(self, name: str) -> Path | None:
        """The file on this machine, fetched if needed; None when it does not exist (offline: may not)."""
        path = self._cache.find(self.commit, name)
        if path is not None or self._cache.is_known_missing(self.commit, name):
            return path
        known = self._known_names()
        if known is not None and name not in known:
            self._cache.note_missing(self.commit, name)
            return None
        if self._offline is None:
            return self._client.download(name, commit=self.commit, cache_dir=self._cache.root)
        if known is not None:  # it exists, so silence would hide a file that somebody relies on
            raise self.missing(name)
        return None

    def has(self, name: str) -> bool:
        """Whether the commit has the file; offline, whether it is known to."""
        if self._cache.find(self.commit, name) is not None:
            return True
        if self._cache.is_known_missing(self.commit, name):
            return False
        return name in (self._known_names() or ())

    def names(self) -> tuple[str, ...]:
        """Every file of the commit; offline without a stored list, those in the cache."""
        known = self._known_names()
        return self._cache.cached_names(self.commit) if known is None else known

    def fetch(self, names: tuple[str, ...]) -> dict[str, Path | None]:
        """Several files at once, as `find`."""
        with ThreadPoolExecutor(max_workers=PARALLEL_FETCHES) as pool:
            return dict(zip(names, pool.map(self.find, names), strict=True))

    def snapshot(self, patterns: tuple[str, ...]) -> Path:
        """The commit's folder in the cache, with every matching file in it."""
        wanted = tuple(
            name for name in self.names() if any(fnmatchcase(name, pattern) for pattern in patterns)
        )
        if not wanted:
            raise FileMissingError(
                f"{self.repo_id} at commit {self.commit} has no file that matches {', '.join(patterns)}",
                fix="use patterns that match its files, e.g. '*.json'",
                repo=self.repo_id,
                revision=self.commit,
            )
        self.fetch(wanted)
        return self._cache.snapshot(self.commit)

    def missing(self, name: str) -> RepoError:
        """The error that says why `find` gave nothing for `name`."""
        known = self._known_names()
        if self._offline is not None and (known is None or name in known):
            return _offline_miss(self.repo_id, self.commit, name, self._cache, self._offline)
        return no_such_file(name, self.names(), repo=self.repo_id, commit=self.commit)

    def _known_names(self) -> tuple[str, ...] | None:
        """The commit's files from memory, cache or Hub; None when only the Hub knows and it is off."""
        if self._names is None:
            with self._names_lock:
                if self._names is None:
                    names = self._cache.listing(self.commit)
                    if names is None and self._offline is None:
                        names = self._client.look_up(self.commit).names
                    self._names = names
        return self._names


def open_hub_repo(
    id_or_path: str | Path,
    *,
    revision: str | None,
    cache_dir: str | Path | None,
    token: str | bool | None,
    local_files_only: bool,
    endpoint: str | None,
) -> HubRepo:
    """The repository at the commit that `revision` means now, or meant last if the Hub cannot be asked.

    Raises as `Repo.open`.
    """
    repo_id = _checked_id(id_or_path)
    cache = RepoCache(Path(cache_dir).expanduser() if cache_dir is not None else cache_folder(), repo_id)
    client = HubClient(repo_id=repo_id, token=token, endpoint=endpoint)
    offline = "local_files_only=True" if local_files_only else offline_switch()
    asked = revision or DEFAULT_REVISION
    if is_commit(asked):
        return HubRepo(client, cache, commit=asked, offline=offline, names=None)
    if offline is None:
        try:
            state = client.look_up(revision)
        except HubUnreachableError as error:
            commit = cache.resolved(asked)
            if commit is None:
                raise
            _log.warning("%s; using what %r meant last: commit %s", error.what, asked, commit)
            offline = "the Hub did not answer"
            return HubRepo(client, cache, commit=commit, offline=offline, names=None)
        cache.note_resolved(asked, state.commit)
        return HubRepo(client, cache, commit=state.commit, offline=None, names=state.names)
    commit = cache.resolved(asked)
    if commit is None:
        raise _offline_miss(repo_id, asked, None, cache, offline)
    return HubRepo(client, cache, commit=commit, offline=offline, names=None)


def _checked_id(id_or_path: str | Path) -> str:
    """The Hub id, or an error that tells a mistyped folder from a mistyped id."""
    text = str(id_or_path)
    try:
        safe_name(text)
        valid = text.count("/") <= 1 and "--" not in text and isinstance(id_or_path, str)
    except ValueError:
        valid = False
    if Path(id_or_path).expanduser().is_file():
        folder, name = Path(id_or_path).parent, Path(id_or_path).name
        raise RepoNotFoundError(
            f"{text} is a file, and a repository is a folder",
            fix=f"open {str(folder)!r}; to choose the weights in it, pass weights_name={name!r} to discover",
            repo=text,
        )
    if not valid:
        raise RepoNotFoundError(
            f"{text!r} is neither a folder on this machine nor a Hub id",
            fix='check the path, or use a Hub id such as "org/name"',
            repo=text,
        )
    return text


def _offline_miss(
    repo_id: str, revision: str, name: str | None, cache: RepoCache, switch: str
) -> OfflineMissError:
    what = f"the file {name!r} of {repo_id} at {revision}" if name else f"{repo_id} at revision {revision!r}"
    option = f" --include {name}" if name else ""
    return OfflineMissError(
        f"{what} is not in the cache {cache.root}, and the network is off ({switch})",
        fix=f"switch the network on, or elsewhere run `hf download {repo_id} --revision {revision}{option}`",
        repo=repo_id,
        revision=revision,
    )
