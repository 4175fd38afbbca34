"""Every error this project raises on purpose: what was wrong, and what to do about it.

```
HfError                         .what .fix
├── MissingPackageError         an optional package is not installed          (ImportError)
├── UnsafePathError             a name from a repository leaves its folder    (ValueError)
├── JsonFileError               a file is not the JSON it should be           (ValueError)
├── RemoteCodeRefusedError      code of a repository without pinned trust     (PermissionError)
├── RepoError                   .repo .revision
│   ├── RepoNotFoundError       no such repository, or a private one          (FileNotFoundError)
│   ├── RepoGatedError          access must be asked for                      (PermissionError)
│   ├── TokenRefusedError       the Hub did not accept the token              (PermissionError)
│   ├── RevisionNotFoundError   no such branch, tag or commit                 (FileNotFoundError)
│   ├── FileMissingError        the repository has no such file               (FileNotFoundError)
│   ├── OfflineMissError        not in the cache, and the network is off      (FileNotFoundError)
│   ├── HubUnreachableError     the network is on, and the Hub did not answer (ConnectionError)
│   │   └── RateLimitedError    too many requests, .retry_after seconds       (ConnectionError)
│   ├── CacheNotWritableError   a download has nowhere to go                  (PermissionError)
│   └── PushRefusedError        the Hub did not accept an upload              (PermissionError)
├── WeightsError                .file
│   ├── WeightsNotFoundError    a repository holds no weights we know         (FileNotFoundError)
│   ├── ShardMissingError       an index names a file that is not there       (FileNotFoundError)
│   ├── ShardIndexError         an index contradicts itself or its shards     (ValueError)
│   ├── HeaderError             a safetensors header that cannot be right     (ValueError)
│   │   └── TruncatedFileError  a file is shorter than its header promises    (ValueError)
│   ├── GgufError               a GGUF container that cannot be right         (ValueError)
│   ├── AdapterError            adapter weights without a usable config       (ValueError)
│   ├── ShardPlanError          tensors cannot be laid out as asked           (ValueError)
│   └── PickleRefusedError      only pickle weights, and no opt-in            (PermissionError)
└── LockError                   an hf.lock or bundle that cannot be used      (ValueError)
    └── LockMismatchError       files differ from what hf.lock records        (ValueError)
```
"""

from __future__ import annotations

from pathlib import Path


class HfError(Exception):
    """Base of all errors: `what` was wrong, in one line, and `fix`, a command or an option that helps."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}\n  fix: {self.fix}" if self.fix else self.what

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds by calling the class with `args`, which keyword-only fields would break.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[HfError], args: tuple[object, ...], state: dict[str, object]) -> HfError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class MissingPackageError(HfError, ImportError):
    """An optional package is needed here and is not installed; `install` is the line that installs it."""

    def __init__(self, package: str, extra: str = "", install: str = "") -> None:
        self.package = package
        self.extra = extra
        self.install = install or f"pip install {package}"
        needed_by = f", which {extra} needs," if extra else ""
        super().__init__(f"the package {package}{needed_by} is not installed", fix=self.install)


class UnsafePathError(HfError, ValueError):
    """A file name that came from a repository would leave the folder it belongs to."""


class JsonFileError(HfError, ValueError):
    """A file that should be a JSON object is not."""


class RemoteCodeRefusedError(HfError, PermissionError):
    """A repository wants to run its own code, and nobody vouched for exactly that code."""


class RepoError(HfError):
    """Something about `repo` at `revision` (None: its default branch, or a local folder)."""

    def __init__(self, what: str, *, fix: str = "", repo: str = "", revision: str | None = None) -> None:
        self.repo = repo
        self.revision = revision
        super().__init__(what, fix=fix)


class RepoNotFoundError(RepoError, FileNotFoundError):
    """The Hub knows no such repository, or hides it from this token."""


class RepoGatedError(RepoError, PermissionError):
    """The repository exists, and its owners have not let this account in."""


class TokenRefusedError(RepoError, PermissionError):
    """The Hub refused the access token; the message says where that token came from."""


class RevisionNotFoundError(RepoError, FileNotFoundError):
    """The repository has no such branch, tag or commit."""


class FileMissingError(RepoError, FileNotFoundError):
    """The repository, or local folder, has no such file."""


class OfflineMissError(RepoError, FileNotFoundError):
    """A file is not in the cache and the network is switched off."""


class HubUnreachableError(RepoError, ConnectionError):
    """The network is on, and the Hub did not answer or answered with a server error."""


class RateLimitedError(HubUnreachableError):
    """The Hub asks to slow down; `retry_after` is in seconds where it said so."""

    def __init__(
        self,
        what: str,
        *,
        fix: str = "",
        repo: str = "",
        revision: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.retry_after = retry_after
        super().__init__(what, fix=fix, repo=repo, revision=revision)


class CacheNotWritableError(RepoError, PermissionError):
    """A file must be downloaded and the cache folder cannot be written."""


class PushRefusedError(RepoError, PermissionError):
    """The Hub did not accept an upload."""


class WeightsError(HfError):
    """Something about the weights in `file` (None: no file is to blame)."""

    def __init__(self, what: str, *, fix: str = "", file: Path | None = None) -> None:
        self.file = file
        super().__init__(what, fix=fix)


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """The repository holds no weights under any name that was looked for."""


class ShardMissingError(WeightsError, FileNotFoundError):
    """A shard index names a file that the repository does not have."""


class ShardIndexError(WeightsError, ValueError):
    """A shard index contradicts itself or the shards it describes."""


class HeaderError(WeightsError, ValueError):
    """A safetensors header that cannot be right."""


class TruncatedFileError(HeaderError):
    """A weights file is shorter than its own header promises."""


class GgufError(WeightsError, ValueError):
    """A GGUF container that cannot be right."""


class AdapterError(WeightsError, ValueError):
    """Adapter weights without a configuration that can be used."""


class ShardPlanError(WeightsError, ValueError):
    """Tensors cannot be written as asked."""


class PickleRefusedError(WeightsError, PermissionError):
    """The only weights found are pickle files, which can run code, and nobody opted in."""


class LockError(HfError, ValueError):
    """A lock file or bundle cannot be used."""


class LockMismatchError(LockError):
    """Files differ from what the lock file records."""
