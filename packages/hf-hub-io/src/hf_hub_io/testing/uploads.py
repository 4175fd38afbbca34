"""The endpoints behind `create_repo` and `upload_folder`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hf_hub_io.testing.state import LFS_THRESHOLD_BYTES, FakeRepo

if TYPE_CHECKING:
    from hf_hub_io.testing.handler import HubHandler

_ID = r"(?P<id>[^/]+/[^/]+)"
_PREUPLOAD = re.compile(rf"/api/models/{_ID}/preupload/(?P<rev>[^/]+)")
_COMMIT = re.compile(rf"/api/models/{_ID}/commit/(?P<rev>[^/]+)")
_DISCUSSION = re.compile(rf"/api/models/{_ID}/discussions(?:/(?P<num>\d+))?")
_BATCH = re.compile(rf"/{_ID}\.git/info/lfs/objects/batch")
_OBJECT = re.compile(r"/fake-storage/(?P<oid>[0-9a-f]{64})")


def answer_upload(handler: HubHandler, path: str, query: Mapping[str, list[str]], body: bytes) -> None:
    """Answers any request that is not a read."""
    if match := _OBJECT.fullmatch(path):  # storage urls are signed; no token comes with them
        _store(handler, match["oid"], body)
        return
    if handler.token is None:
        handler.reply_error(401, "Invalid username or password.")
    elif path == "/api/whoami-v2":
        handler.reply_json({"name": handler.hub.tokens[handler.token], "type": "user", "orgs": []})
    elif path == "/api/repos/create":
        _create(handler, json.loads(body))
    elif path == "/api/validate-yaml":
        handler.reply_json({"errors": [], "warnings": []})
    elif match := _PREUPLOAD.fullmatch(path):
        _preupload(handler, match, json.loads(body))
    elif match := _BATCH.fullmatch(path):
        _batch(handler, json.loads(body))
    elif match := _DISCUSSION.fullmatch(path):
        _discussion(handler, match, json.loads(body or b"{}"))
    elif match := _COMMIT.fullmatch(path):
        _commit(handler, match, body, pull_request="create_pr" in query)
    else:
        handler.reply_error(404, f"no such endpoint: {handler.command} {path}")


def _create(handler: HubHandler, asked: dict[str, object]) -> None:
    owner = asked.get("organization") or handler.hub.tokens[handler.token or ""]
    repo_id = f"{owner}/{asked['name']}"
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    with handler.hub.lock:
        exists = repo_id in handler.hub.repos
        if not exists:
            handler.hub.repos[repo_id] = FakeRepo(id=repo_id, private=private)
            handler.hub.repos[repo_id].commit({}, message="initial commit")
    url = f"{handler.hub.url}/{repo_id}"
    if exists:
        handler.reply_json({"error": "You already created this model repo", "url": url}, 409)
    else:
        handler.reply_json({"url": url, "name": repo_id, "id": repo_id})


def _discussion(handler: HubHandler, match: re.Match[str], asked: dict[str, object]) -> None:
    """Opens a pull request, whose branch starts as `main` is, or describes one."""
    if (repo := handler.repo(match["id"])) is None:
        return
    number = int(match["num"] or repo.next_pull_request())
    repo.refs.setdefault(f"refs/pr/{number}", repo.refs["main"])
    repo.titles.setdefault(number, str(asked.get("title", "")))
    handler.reply_json(
        {
            "num": number,
            "title": repo.titles[number],
            "status": "draft",
            "isPullRequest": True,
            "author": {"name": handler.hub.tokens[handler.token or ""]},
            "createdAt": "2026-01-01T00:00:00.000Z",
            "repo": {"name": repo.id, "type": "model"},
            "changes": {"base": "refs/heads/main"},
            "filesWithConflicts": [],
            "events": [],
        }
    )


def _preupload(handler: HubHandler, match: re.Match[str], asked: dict[str, list[dict[str, object]]]) -> None:
    if (repo := handler.repo(match["id"])) is None:
        return
    revision = unquote(match["rev"])
    commit = repo.resolve(revision)
    if commit is None:
        handler.reply_error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return
    files = []
    for file in asked["files"]:
        large = int(str(file["size"])) >= LFS_THRESHOLD_BYTES
        mode = "lfs" if large else "regular"
        files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None})
    handler.reply_json({"files": files, "commitOid": commit})


def _batch(handler: HubHandler, asked: dict[str, list[dict[str, object]]]) -> None:
    objects = []
    for item in asked["objects"]:
        href = f"{handler.hub.url}/fake-storage/{item['oid']}"
        objects.append({**item, "authenticated": True, "actions": {"upload": {"href": href}}})
    handler.reply_json({"transfer": "basic", "objects": objects})


def _store(handler: HubHandler, oid: str, body: bytes) -> None:
    if hashlib.sha256(body).hexdigest() != oid:
        handler.reply_error(400, "content does not match its hash")
        return
    with handler.hub.lock:
        handler.hub.uploads[oid] = body
    handler.reply(200)


def _commit(handler: HubHandler, match: re.Match[str], body: bytes, *, pull_request: bool) -> None:
    if (repo := handler.repo(match["id"])) is None:
        return
    revision = unquote(match["rev"])
    with handler.hub.lock:
        files = dict(repo.commits[repo.resolve(revision) or ""])
        message = ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = handler.hub.uploads[value["oid"]]
                case "deletedFile":
                    files.pop(value["path"], None)
        number = repo.next_pull_request()
        ref = f"refs/pr/{number}" if pull_request else revision
        commit = repo.commit(files, ref=ref, message=message)
    url = f"{handler.hub.url}/{repo.id}"
    answer = {"success": True, "commitOid": commit, "commitUrl": f"{url}/commit/{commit}", "hookOutput": ""}
    if pull_request:
        answer["pullRequestUrl"] = f"{url}/discussions/{number}"
    handler.reply_json(answer)
