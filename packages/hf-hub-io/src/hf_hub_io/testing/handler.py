"""The Hub's endpoints as huggingface_hub calls them: look up, list and resolve; uploads are next door."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, final
from urllib.parse import parse_qs, unquote, urlsplit

from hf_hub_io.testing.state import Cut, FakeRepo, Refuse, Seen, etag, is_large, tree_entry
from hf_hub_io.testing.uploads import answer_upload

if TYPE_CHECKING:
    from hf_hub_io.testing.fake_hub import FakeHub

_ID = r"(?P<id>[^/]+/[^/]+)"
_INFO = re.compile(rf"/api/models/{_ID}(?:/revision/(?P<rev>[^/]+))?")
_TREE = re.compile(rf"/api/models/{_ID}/tree/(?P<rev>[^/]+)(?:/.*)?")
_FILE = re.compile(rf"/{_ID}/resolve/(?P<rev>[^/]+)/(?P<name>.+)")


@final
class HubHandler(BaseHTTPRequestHandler):
    """Answers one request after another of one connection."""

    protocol_version = "HTTP/1.1"

    def __init__(
        self, hub: FakeHub, request: socket.socket, client: tuple[str, int], server: socketserver.BaseServer
    ) -> None:
        self.hub = hub
        super().__init__(request, client, server)

    def do_HEAD(self) -> None:
        """As GET, without content."""
        self._answer()

    def do_GET(self) -> None:
        """Reads."""
        self._answer()

    def do_POST(self) -> None:
        """Creates repositories and commits."""
        self._answer()

    def do_PUT(self) -> None:
        """Takes the content of a large file."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # the name is the base class's
        """Keeps quiet."""

    def reply(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        cut: int | None = None,
    ) -> None:
        """Sends an answer, or its first `cut` bytes before the line goes dead."""
        with self.hub.lock:
            range_header = self.headers.get("Range")
            self.hub.seen.append(Seen(method=self.command, path=self.path, status=status, range=range_header))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if not headers or "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client may hang up whenever it likes
            if self.command != "HEAD":
                self.wfile.write(body if cut is None else body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

    def reply_json(self, value: object, status: int = 200) -> None:
        """Sends JSON."""
        self.reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply_error(self, status: int, message: str, code: str = "", *, commit: str = "") -> None:
        """Sends an error the way the Hub does: a code and a message, in headers and as JSON."""
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        body = json.dumps({"error": message}).encode()
        self.reply(status, body, {name: value for name, value in headers.items() if value})

    @property
    def token(self) -> str | None:
        """The access token that came with the request."""
        value = self.headers.get("Authorization", "")
        return value.removeprefix("Bearer ") if value.startswith("Bearer ") else None

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.hub.fault_for(f"{self.command} {self.path}")
        if isinstance(fault, Refuse):
            headers = {"X-Error-Message": fault.message} if fault.message else {}
            self.reply(
                fault.status, json.dumps({"error": fault.message}).encode(), {**headers, **fault.headers}
            )
            return
        if self.token in self.hub.expired:
            self.reply_error(401, 'User Access Token "laptop" is expired')
            return
        if self.token is not None and self.token not in self.hub.tokens:
            self.reply_error(401, "Invalid credentials in Authorization header")
            return
        url = urlsplit(self.path)
        if match := _FILE.fullmatch(url.path):
            self._file(match, fault)
        elif match := _TREE.fullmatch(url.path):
            self._tree(match)
        elif self.command == "GET" and (match := _INFO.fullmatch(url.path)):
            self._info(match)
        else:
            answer_upload(self, url.path, parse_qs(url.query), body)

    def repo(self, repo_id: str) -> FakeRepo | None:
        """The repository if this token may know of it; otherwise the refusal is sent."""
        repo = self.hub.repos.get(repo_id)
        if repo is None or (repo.private and self.token is None):
            if self.token is None:
                self.reply_error(401, "Invalid username or password.", "RepoNotFound")
            else:
                self.reply_error(404, "Repository not found", "RepoNotFound")
            return None
        return repo

    def _commit(self, match: re.Match[str]) -> tuple[FakeRepo, str] | None:
        repo = self.repo(unquote(match["id"]))
        if repo is None:
            return None
        revision = unquote(match["rev"] or "main")
        commit = repo.resolve(revision)
        if commit is None:
            self.reply_error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            return None
        return repo, commit

    def _info(self, match: re.Match[str]) -> None:
        if (found := self._commit(match)) is None:
            return
        repo, commit = found
        self.reply_json(
            {
                "id": repo.id,
                "modelId": repo.id,
                "sha": commit,
                "private": repo.private,
                "gated": "manual" if repo.gated else False,
                "tags": [],
                "siblings": [{"rfilename": name} for name in sorted(repo.commits[commit])],
            }
        )

    def _tree(self, match: re.Match[str]) -> None:
        if (found := self._commit(match)) is not None:
            repo, commit = found
            self.reply_json([tree_entry(name, data) for name, data in sorted(repo.commits[commit].items())])

    def _file(self, match: re.Match[str], fault: Cut | None) -> None:
        if (found := self._commit(match)) is None:
            return
        repo, commit = found
        if not repo.may_read(self.token):
            message = f"Access to model {repo.id} is restricted and you are not in the authorized list."
            self.reply_error(401 if self.token is None else 403, message, "GatedRepo")
            return
        data = repo.commits[commit].get(unquote(match["name"]))
        if data is None:
            self.reply_error(404, "Entry not found", "EntryNotFound", commit=commit)
            return
        headers = {"ETag": f'"{etag(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if is_large(data):
            headers |= {"X-Linked-Etag": f'"{etag(data)}"', "X-Linked-Size": str(len(data))}
        status, start = 200, 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.reply(status, data[start:], headers, cut=fault.after if fault else None)
