"""Hub repositories against a real HTTP server: what is fetched, and how often."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_hub_io import DType, Repo, TensorBytes, discover, save_tensors
from hf_hub_io.errors import (
    FileMissingError,
    PickleRefusedError,
    RepoGatedError,
    WeightsNotFoundError,
)
from hf_hub_io.testing import Cut, FakeHub, Refuse

InChild = Callable[..., dict[str, object]]
pytestmark = [pytest.mark.enable_socket]
BIG = bytes(range(256)) * 800


def opened(hub: FakeHub, cache: Path, repo_id: str = "org/model", **options: str | bool) -> Repo:
    return Repo.open(repo_id, cache_dir=cache, endpoint=hub.url, **options)  # type: ignore[arg-type]  # options differ in type


def test_one_request_opens_and_each_file_is_fetched_once(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {"config.json": b"{}", "sub/big.bin": BIG})
    repo = opened(hub, tmp_path)
    assert (repo.id, repo.commit, repo.is_local) == ("org/model", commit, False)
    assert len(hub.seen) == 1
    assert repo.list() == ("config.json", "sub/big.bin")
    assert repo.find("missing.json") is None
    assert repo.has("sub/big.bin")
    assert len(hub.seen) == 1, "the listing answers everything else"
    for _ in range(3):
        assert repo.file("sub/big.bin").read_bytes() == BIG
    assert opened(hub, tmp_path, subfolder="sub").file("big.bin").read_bytes() == BIG
    assert len(hub.transfers("sub/big.bin")) == 1


def test_a_pinned_commit_in_the_cache_needs_no_request(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {"config.json": b"{}"})
    first = opened(hub, tmp_path, revision=commit)
    assert hub.seen == []
    first.file("config.json")
    first.find("generation_config.json")
    asked = len(hub.seen)
    again = opened(hub, tmp_path, revision=commit)
    assert again.read_json("config.json") == {}
    assert again.find("generation_config.json") is None
    assert len(hub.seen) == asked


def test_a_moving_branch_is_followed_and_old_commits_stay(hub: FakeHub, tmp_path: Path) -> None:
    one = hub.add("org/model", {"config.json": b'{"v": 1}'})
    assert opened(hub, tmp_path).read_json("config.json") == {"v": 1}
    hub.add("org/model", {"config.json": b'{"v": 2}'})
    assert opened(hub, tmp_path).read_json("config.json") == {"v": 2}
    assert opened(hub, tmp_path, revision=one).read_json("config.json") == {"v": 1}
    hub.add("org/model", {"config.json": b'{"v": 3}'}, ref="dev")
    assert opened(hub, tmp_path, revision="dev").read_json("config.json") == {"v": 3}
    assert opened(hub, tmp_path, local_files_only=True).read_json("config.json") == {"v": 2}


def test_the_same_content_is_stored_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"big.bin": BIG})
    opened(hub, tmp_path).file("big.bin")
    hub.add("org/model", {"big.bin": BIG, "more.json": b"{}"})
    opened(hub, tmp_path).file("big.bin")
    assert len(hub.transfers("big.bin")) == 1, "the ETag says that the blob is there already"


def test_snapshots_hold_what_matches(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}", "tok/vocab.json": b"{}", "big.bin": BIG})
    root = opened(hub, tmp_path).snapshot(("*.json",))
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.json"))
    assert found == ["config.json", "tok/vocab.json"]
    assert not (root / "big.bin").exists()
    assert opened(hub, tmp_path, subfolder="tok").snapshot() == root / "tok"
    with pytest.raises(FileMissingError, match=r"no file that matches \*\.xyz"):
        opened(hub, tmp_path).snapshot(("*.xyz",))


def test_a_cut_connection_is_resumed_where_it_broke(hub: FakeHub, in_child: InChild) -> None:
    hub.add("org/model", {"big.bin": BIG})
    hub.plan("GET .*/big.bin", Cut(after=100_000))
    code = """
        import json, hashlib, huggingface_hub.constants as constants
        constants.DOWNLOAD_CHUNK_SIZE = 4096  # so that part of a small file counts as progress
        from hf_hub_io import Repo
        data = Repo.open("org/model").file("big.bin").read_bytes()
        print(json.dumps({"sha": hashlib.sha256(data).hexdigest()}))
    """
    assert in_child(code) == {"sha": hashlib.sha256(BIG).hexdigest()}
    first, second = hub.transfers("big.bin")
    assert (first.status, first.range) == (200, None)
    assert second.status == 206
    assert second.range is not None
    assert 0 < int(second.range.removeprefix("bytes=").removesuffix("-")) <= 100_000


def test_eight_processes_cause_one_transfer(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {"big.bin": BIG})
    code = f"""
        import sys
        import huggingface_hub.file_download
        from hf_hub_io import Repo
        print("ready", flush=True)
        sys.stdin.read()
        print(len(Repo.open("org/model", revision="{commit}").file("big.bin").read_bytes()))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = hub.environment(tmp_path)
    children = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    sizes = []
    for child in children:
        assert child.stdout is not None
        sizes.append(child.stdout.read().strip())
        child.stdout.close()
        assert child.wait(60) == 0
    assert sizes == [str(len(BIG))] * 8
    assert len(hub.transfers("big.bin")) == 1


def test_discovery_in_a_pinned_cached_repository_is_silent(hub: FakeHub, tmp_path: Path) -> None:
    tensors = {name: TensorBytes(dtype=DType.U8, shape=(1,), data=b"x") for name in "ab"}
    save_tensors(tmp_path / "made", tensors, max_shard_size=1)
    commit = hub.add("org/model", {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()})
    assert sorted(discover(opened(hub, tmp_path, revision=commit)).tensors) == ["a", "b"]
    hub.seen.clear()
    assert sorted(discover(opened(hub, tmp_path, revision=commit)).tensors) == ["a", "b"]
    assert hub.seen == []
    hub.add("org/empty", {"config.json": b"{}"})
    with pytest.raises(WeightsNotFoundError):
        discover(opened(hub, tmp_path, "org/empty"))


def test_a_repository_without_pickle_opt_in_fetches_no_pickle(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"pytorch_model.bin": BIG})
    with pytest.raises(PickleRefusedError):
        discover(opened(hub, tmp_path))
    assert hub.transfers("pytorch_model.bin") == []


def test_an_interrupted_transfer_leaves_no_half_file(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"big.bin": BIG})
    hub.plan("GET .*/big.bin", Refuse(status=403), times=1)
    with pytest.raises(RepoGatedError):
        opened(hub, tmp_path).file("big.bin")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size == len(BIG)]
    assert opened(hub, tmp_path).file("big.bin").read_bytes() == BIG


def test_threads_share_one_repository(hub: FakeHub, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    files = {f"{i}.json": json.dumps({"i": i}).encode() for i in range(20)}
    commit = hub.add("org/model", files)
    repo = opened(hub, tmp_path, revision=commit)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: repo.read_json(f"{i % 20}.json")["i"], range(60)))
    assert found == [i % 20 for i in range(60)]
    assert sum("/api/" in seen.path for seen in hub.seen) == 1, "the listing is asked for once"


def test_the_environment_of_children_hides_the_users_own(hub: FakeHub, tmp_path: Path) -> None:
    os.environ["HF_TOKEN"] = "hf_mine"
    try:
        environment = hub.environment(tmp_path)
    finally:
        del os.environ["HF_TOKEN"]
    assert "HF_TOKEN" not in environment
    assert environment["HF_ENDPOINT"] == hub.url
