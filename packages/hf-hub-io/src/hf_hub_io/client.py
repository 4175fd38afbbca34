"""The calls to the Hub, through huggingface_hub, with every failure turned into one of our errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, final

from hf_hub_io.errors import RateLimitedError
from hf_hub_io.hub_errors import Asked, translated

_T = TypeVar("_T")
_MAX_WAIT_SECONDS = 60.0  # a longer Retry-After is the caller's decision
_MAX_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class RepoState:
    """A repository at one moment: the commit that a revision means, and that commit's files."""

    commit: str
    names: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HubClient:
    """Requests about one model repository. huggingface_hub is imported by the first of them."""

    repo_id: str
    token: str | bool | None = field(repr=False)
    endpoint: str | None

    def look_up(self, revision: str | None) -> RepoState:
        """The commit and the files of `revision`: one request. Raises RepoError."""
        asked = Asked(repo=self.repo_id, revision=revision, token=self.token)

        def request() -> RepoState:
            from huggingface_hub import HfApi

            info = HfApi(endpoint=self.endpoint).model_info(self.repo_id, revision=revision, token=self.token)
            names = tuple(sorted(sibling.rfilename for sibling in info.siblings or ()))
            return RepoState(commit=str(info.sha), names=names)

        return self._patiently(request, asked)

    def download(self, name: str, *, commit: str, cache_dir: Path) -> Path:
        """The file `name` of `commit` in the cache, fetched under the cache's lock. Raises RepoError."""
        asked = Asked(repo=self.repo_id, revision=commit, token=self.token, name=name, cache_dir=cache_dir)

        def request() -> Path:
            from huggingface_hub import hf_hub_download

            return Path(
                hf_hub_download(
                    self.repo_id,
                    name,
                    revision=commit,
                    cache_dir=cache_dir,
                    token=self.token,
                    endpoint=self.endpoint,
                )
            )

        return self._patiently(request, asked)

    def _patiently(self, request: Callable[[], _T], asked: Asked) -> _T:
        """The request's result, asked again when the Hub wants a short pause."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                with translated(asked):
                    return request()
            except RateLimitedError as error:
                wait = error.retry_after
                if wait is None or wait > _MAX_WAIT_SECONDS or attempt == _MAX_ATTEMPTS:
                    raise
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")
