"""The server: starts and stops, holds the state, and says what was asked of it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import final

from hf_hub_io.testing.handler import HubHandler
from hf_hub_io.testing.state import FakeRepo, Fault, Seen


@final
class FakeHub:
    """A Hub on a free port of 127.0.0.1, running inside the `with` block.

    `tokens` maps accepted access tokens to user names; tokens in `expired` are refused as the Hub does
    it. `seen` is every request in order of its answer. `plan` makes the next requests fail.
    """

    def __init__(self) -> None:
        self.repos: dict[str, FakeRepo] = {}
        self.tokens: dict[str, str] = {"hf_good": "someone"}
        self.expired: set[str] = {"hf_old"}
        self.seen: list[Seen] = []
        self.uploads: dict[str, bytes] = {}
        self.lock = threading.RLock()
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._server = _Server(("127.0.0.1", 0), partial(HubHandler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The endpoint to talk to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        ref: str = "main",
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Adds a commit with `files` to a repository, made if needed, and gives the commit's hash."""
        with self.lock:
            repo = self.repos.setdefault(repo_id, FakeRepo(id=repo_id))
            repo.private, repo.gated = private, gated
            return repo.commit(files, ref=ref)

    def plan(self, path_pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Makes the next `times` requests whose `METHOD path` matches the regular expression fail so."""
        with self.lock:
            self._faults += [(re.compile(path_pattern), fault)] * times

    def fault_for(self, request: str) -> Fault | None:
        """The planned failure of this request, used up by asking."""
        with self.lock:
            for place, (pattern, fault) in enumerate(self._faults):
                if pattern.search(request):
                    del self._faults[place]
                    return fault
        return None

    def transfers(self, name: str) -> list[Seen]:
        """The requests that got content of file `name`, whole or in part."""
        with self.lock:
            return [seen for seen in self.seen if seen.method == "GET" and seen.path.endswith(f"/{name}")]

    def environment(self, home: str | Path, **more: str) -> dict[str, str]:
        """The environment of a child process whose Hub is this one and whose cache is under `home`."""
        mine = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        taken = ("HF_", "HUGGING_FACE_", "TRANSFORMERS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(taken)}
        no_proxy = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return {**inherited, **no_proxy, **mine, **more}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
