"""Caches that cannot be written, or have no links; and what importing and opening must not drag in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_hub_io.testing import FakeHub

InChild = Callable[..., dict[str, object]]
BIG = bytes(range(256)) * 800

# Root may write anywhere, so a test of "may not write" first gives that power up (Linux: CAP_DAC_OVERRIDE).
GIVE_UP_POWER = """
import ctypes, os, struct
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("II", 0x20080522, 0))
    data = ctypes.create_string_buffer(24)
    assert libc.capget(header, data) == 0
    words = list(struct.unpack("6I", data.raw))
    words[0] &= ~0b110  # effective: no CAP_DAC_OVERRIDE, no CAP_DAC_READ_SEARCH
    assert libc.capset(header, ctypes.create_string_buffer(struct.pack("6I", *words))) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses Linux capabilities")
@pytest.mark.enable_socket
def test_a_read_only_cache_is_read_and_named_when_it_must_be_written(
    hub: FakeHub, in_child: InChild, tmp_path: Path
) -> None:
    hub.add("org/model", {"config.json": b'{"a": 1}', "big.bin": BIG})
    in_child(
        'import json; from hf_hub_io import Repo; Repo.open("org/model").file("config.json"); print("{}")'
    )
    cache = tmp_path / "hub"
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir() and not path.is_symlink())]
    for folder in folders:
        folder.chmod(0o555)
    code = textwrap.dedent(GIVE_UP_POWER) + textwrap.dedent("""
        import json
        from hf_hub_io import Repo
        from hf_hub_io.errors import CacheNotWritableError
        repo = Repo.open("org/model")
        found = {"config": repo.read_json("config.json"), "none": repo.find("none.json")}
        try:
            repo.file("big.bin")
        except CacheNotWritableError as error:
            found |= {"what": error.what, "fix": error.fix}
        print(json.dumps(found))
    """)
    try:
        found = in_child(code)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert found["config"] == {"a": 1}
    assert found["none"] is None
    assert str(cache) in str(found["what"])
    assert "cannot be written" in str(found["what"])
    assert "HF_HUB_CACHE" in str(found["fix"])


@pytest.mark.enable_socket
def test_a_file_system_without_links(hub: FakeHub, in_child: InChild, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}", "big.bin": BIG})
    code = """
        import errno, json, os, warnings
        def refuse(*args, **options):
            raise OSError(errno.EPERM, "no links here")
        os.symlink = os.link = refuse
        warnings.simplefilter("ignore")  # the client explains that copies take more room
        from hf_hub_io import AtomicDirectory, Repo
        repo = Repo.open("org/model")
        path = repo.file("big.bin")
        again = Repo.open("org/model", revision=repo.commit, local_files_only=True).file("big.bin")
        os.makedirs("{home}/out"); open("{home}/out/kept", "w").close()
        with AtomicDirectory("{home}/out") as stage:
            (stage / "new").write_text("x")
        print(json.dumps({"size": path.stat().st_size, "link": path.is_symlink(), "same": path == again,
                          "out": sorted(os.listdir("{home}/out"))}))
    """
    found = in_child(textwrap.dedent(code).replace("{home}", str(tmp_path)))
    assert found == {"size": len(BIG), "link": False, "same": True, "out": ["kept", "new"]}
    assert len(hub.transfers("big.bin")) == 1


WATCHED = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "huggingface_hub", "torch", "numpy", "ssl")


def modules_after(code: str, tmp_path: Path) -> dict[str, object]:
    """What `code` prints plus which watched modules it left loaded; sockets fail loudly."""
    guard = f"""
        import json, socket, sys
        def refuse(*args, **options):
            raise AssertionError("a socket was opened")
        socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
        found = {{}}
        {code}
        found["modules"] = [name for name in {WATCHED!r} if name in sys.modules]
        print(json.dumps(found))
    """
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONSAFEPATH": "1"}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(guard)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_importing_brings_no_http_client_and_no_tensor_library(tmp_path: Path) -> None:
    assert modules_after("import hf_hub_io; from hf_hub_io import *", tmp_path) == {"modules": []}


def test_a_local_folder_needs_no_socket_and_no_client(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"a": 1}')
    code = f"from hf_hub_io import Repo; found['a'] = Repo.open({str(tmp_path / 'model')!r}).read_json('config.json')"
    assert modules_after(code, tmp_path) == {"a": {"a": 1}, "modules": []}


def test_a_pinned_commit_in_the_cache_needs_no_socket_and_no_client(tmp_path: Path) -> None:
    commit = "a" * 40
    folder = tmp_path / "hub" / "models--org--model"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"a": 1}')
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    opened = f"Repo.open('org/model', revision={commit!r})"
    pinned = f"from hf_hub_io import Repo; found['a'] = {opened}.read_json('config.json')"
    assert modules_after(pinned, tmp_path) == {"a": {"a": 1}, "modules": []}
    offline = "from hf_hub_io import Repo; found['c'] = Repo.open('org/model', local_files_only=True).commit"
    assert modules_after(offline, tmp_path) == {"c": commit, "modules": []}


@pytest.mark.enable_socket
def test_both_sides_read_each_others_cache(hub: FakeHub, in_child: InChild) -> None:
    """A file fetched by huggingface_hub is found here without a request, and the other way round."""
    hub.add("org/model", {"config.json": b"{}", "more.json": b"[]", "big.bin": BIG})
    code = """
        import json
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from hf_hub_io import Repo
        theirs = hf_hub_download("org/model", "config.json")
        here = Repo.open("org/model", local_files_only=True)
        repo = Repo.open("org/model")
        ours = repo.file("more.json")
        repo.find("absent.json")
        print(json.dumps({
            "theirs": str(here.file("config.json")) == theirs,
            "ours": try_to_load_from_cache("org/model", "more.json") == str(ours),
            "absent": type(try_to_load_from_cache("org/model", "absent.json")).__name__,
        }))
    """
    assert in_child(code) == {"theirs": True, "ours": True, "absent": "object"}


@pytest.mark.enable_socket
def test_the_tree_that_huggingface_hub_stores_tells_what_is_missing(hub: FakeHub, in_child: InChild) -> None:
    import huggingface_hub

    if int(huggingface_hub.__version__.split(".")[0]) < 2:
        pytest.skip("stored since huggingface_hub 2")
    hub.add("org/model", {"config.json": b"{}", "big.bin": BIG})
    code = """
        import json
        from huggingface_hub import snapshot_download
        snapshot_download("org/model", allow_patterns=["*.json"])
        from hf_hub_io import Repo
        from hf_hub_io.errors import FileMissingError, OfflineMissError
        repo = Repo.open("org/model", local_files_only=True)
        found = {"names": repo.list()}
        for name in ("big.bin", "ghost.bin"):
            try:
                repo.file(name)
            except (FileMissingError, OfflineMissError) as error:
                found[name] = type(error).__name__
        print(json.dumps(found))
    """
    assert in_child(code) == {
        "names": ["big.bin", "config.json"],
        "big.bin": "OfflineMissError",
        "ghost.bin": "FileMissingError",
    }
