"""Uploading a folder to the Hub as one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from hf_hub_io.environment import token_source
from hf_hub_io.errors import FileMissingError, PushRefusedError, RepoGatedError, RepoNotFoundError
from hf_hub_io.hub_errors import Asked, translated
from hf_hub_io.local import LocalFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class PushResult:
    """What an upload made: the commit, its page, and the page of the pull request if one was asked for."""

    repo_id: str
    commit: str
    url: str
    pull_request_url: str | None


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    commit_message: str = "Upload model",
    commit_description: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    patterns: Sequence[str] = ("*",),
    path_in_repo: str = "",
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> PushResult:
    """Uploads the files of `folder` that match a glob as one commit; makes the repository if needed.

    They arrive in the folder `path_in_repo` of the repository, by default its root.

    `private` decides only for a new repository (None: the account's default). `revision` is an existing
    branch. Hidden folders are left out. Raises FileMissingError when nothing matches, PushRefusedError
    when the account may not write there, TokenRefusedError, RevisionNotFoundError, HubUnreachableError.
    """
    folder = Path(folder)
    names = [name for name in LocalFolder(folder).names() if any(fnmatchcase(name, p) for p in patterns)]
    if not names:
        raise FileMissingError(
            f"{folder} holds no file to upload that matches {', '.join(patterns)}",
            fix="save a model there first, or use other patterns",
            repo=str(folder),
        )
    asked = Asked(repo=repo_id, revision=revision, token=token)
    if token_source(token) is None:
        raise PushRefusedError(
            f"uploading to {repo_id} needs an access token, and there is none",
            fix="run `hf auth login`, set HF_TOKEN, or pass token",
            repo=repo_id,
        )
    try:
        with translated(asked):
            from huggingface_hub import CommitOperationAdd, HfApi

            api = HfApi(endpoint=endpoint, token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            # Not `upload_folder`, which may spread a large folder over several commits.
            info = api.create_commit(
                repo_id,
                [
                    CommitOperationAdd(
                        path_in_repo=str(PurePosixPath(path_in_repo, name)), path_or_fileobj=folder / name
                    )
                    for name in names
                ],
                commit_message=commit_message,
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
            )
    except (RepoGatedError, RepoNotFoundError) as error:
        source = token_source(token)
        raise PushRefusedError(
            f"the account of the token from {source} may not write to {repo_id}: {error.what}",
            fix="use a token with write access: run `hf auth login` or set HF_TOKEN",
            repo=repo_id,
            revision=revision,
        ) from None
    return PushResult(repo_id=repo_id, commit=info.oid, url=info.commit_url, pull_request_url=info.pr_url)
