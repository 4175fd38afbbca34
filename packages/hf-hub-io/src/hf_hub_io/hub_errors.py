"""What huggingface_hub raises, told apart by cause and said again with the fix."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hub_io.environment import token_source
from hf_hub_io.errors import (
    CacheNotWritableError,
    FileMissingError,
    HubUnreachableError,
    OfflineMissError,
    RateLimitedError,
    RepoError,
    RepoGatedError,
    RepoNotFoundError,
    RevisionNotFoundError,
    TokenRefusedError,
)

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a request was about, for the message when it fails."""

    repo: str
    revision: str | None
    token: str | bool | None = field(repr=False)
    name: str | None = None
    cache_dir: Path | None = None

    @property
    def thing(self) -> str:
        """In words: the file, or the repository, at its revision."""
        at = f"{self.repo} at revision {self.revision!r}" if self.revision else self.repo
        return f"the file {self.name!r} of {at}" if self.name else at


@contextlib.contextmanager
def translated(asked: Asked) -> Iterator[None]:
    """Turns whatever the block's Hub calls raise into a RepoError; other errors pass unchanged."""
    from huggingface_hub import errors

    # The common base of all failures of the HTTP client, whichever client this version uses.
    transport = next(
        base
        for base in errors.HfHubHTTPError.__mro__
        if base.__name__ == "HTTPError" and issubclass(base, Exception)
    )
    try:
        yield
    except RepoError:
        raise
    except errors.HfHubHTTPError as error:
        raise _from_response(error, asked) from None
    except errors.LocalEntryNotFoundError as error:
        # Raised when a download could not even start; the reason is its cause.
        cause = error.__cause__
        if isinstance(cause, errors.HfHubHTTPError):
            raise _from_response(cause, asked) from None
        raise _unreachable(cause or error, asked) from None
    except errors.OfflineModeIsEnabled as error:
        raise OfflineMissError(
            f"{asked.thing} is not in the cache, and the network is off ({error})",
            fix="unset HF_HUB_OFFLINE, or fetch the repository where the network is on",
            repo=asked.repo,
            revision=asked.revision,
        ) from None
    except errors.HFValidationError as error:
        raise RepoNotFoundError(
            f"{asked.repo!r} is neither a folder on this machine nor a Hub id: {error}",
            fix='check the path, or use a Hub id such as "org/name"',
            repo=asked.repo,
            revision=asked.revision,
        ) from None
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise _not_writable(error, asked) from None
        # Without a number it is the client's own: a transfer that ended with the wrong size.
        if error.errno is None or isinstance(error, (ConnectionError, transport)):
            raise _unreachable(error, asked) from None
        raise
    except transport as error:
        raise _unreachable(error, asked) from None


def _from_response(error: HfHubHTTPError, asked: Asked) -> RepoError:
    """The error for an answer of the Hub that is not a success."""
    said = (error.server_message or "").strip().splitlines()
    words = f" (the Hub says: {said[0]})" if said else ""
    if error.response.status_code == 429:
        wait = _retry_after(error)
        pause = f"after {wait:g} seconds" if wait is not None else "later"
        return RateLimitedError(
            f"the Hub got too many requests and did not serve {asked.thing}{words}",
            fix=f"try again {pause}; pin a full commit hash as revision to need fewer requests",
            retry_after=wait,
            repo=asked.repo,
            revision=asked.revision,
        )
    kind, what, fix = _diagnosis(error, asked, token_source(asked.token), words)
    return kind(what, fix=fix, repo=asked.repo, revision=asked.revision)


def _diagnosis(
    error: HfHubHTTPError, asked: Asked, source: str | None, words: str
) -> tuple[type[RepoError], str, str]:
    """Class, cause and fix of a refusal; `source`: where the token is from, `words`: what the Hub said."""
    from huggingface_hub import errors

    status, log_in = error.response.status_code, "run `hf auth login` or set HF_TOKEN"
    match error:
        case errors.GatedRepoError():
            who = f"the account of the token from {source}" if source else "anonymous access"
            what = f"{asked.repo} is gated, and {who} is not let in{words}"
            return RepoGatedError, what, f"ask for access on the Hub page of {asked.repo}, then {log_in}"
        case errors.RevisionNotFoundError():
            what = f"{asked.repo} has no revision {asked.revision!r}"
            return (
                RevisionNotFoundError,
                what,
                "use one of its branches, tags or commits, or leave revision out",
            )
        case errors.EntryNotFoundError():
            return FileMissingError, f"{asked.thing} does not exist", "check the file name"
    if status == 401 and source is not None:
        what = f"the Hub refused the access token from {source} when asked for {asked.thing}{words}"
        return (
            TokenRefusedError,
            what,
            f"the token is wrong or expired: run `hf auth login`, or correct {source}",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        how = f"the token from {source} may not see it" if source else "it is private and no token was sent"
        what = f"{asked.repo} does not exist on the Hub, or {how}{words}"
        return RepoNotFoundError, what, f"check the spelling; for a private repository {log_in}"
    if status == 403:
        return (
            RepoGatedError,
            f"access to {asked.thing} is forbidden{words}",
            f"with a token that may: {log_in}",
        )
    what = f"the Hub answered {status} when asked for {asked.thing}{words}"
    return HubUnreachableError, what, "try again later; local_files_only=True uses what is cached"


def _retry_after(error: HfHubHTTPError) -> float | None:
    value = error.response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _unreachable(error: BaseException, asked: Asked) -> HubUnreachableError:
    return HubUnreachableError(
        f"the Hub could not be reached for {asked.thing}: {type(error).__name__}: {error}",
        fix="check network, proxy and HF_ENDPOINT; local_files_only=True uses what is cached",
        repo=asked.repo,
        revision=asked.revision,
    )


def _not_writable(error: OSError, asked: Asked) -> CacheNotWritableError:
    return CacheNotWritableError(
        f"{asked.thing} must be downloaded, and {asked.cache_dir} cannot be written: {error.strerror}",
        fix="pass cache_dir or set HF_HUB_CACHE to a folder that you may write",
        repo=asked.repo,
        revision=asked.revision,
    )
