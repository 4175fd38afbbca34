"""Uploads, cards, locks, and carrying a locked repository to a machine without a network."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_hub_io import (
    EvaluationResult,
    Lock,
    ModelCard,
    Repo,
    export_bundle,
    import_bundle,
    lock_repo,
    read_card_metadata,
)
from hf_hub_io.errors import (
    JsonFileError,
    LockError,
    LockMismatchError,
)
from hf_hub_io.lock import LockedRepo
from hf_hub_io.testing import FakeHub, Refuse

InChild = Callable[..., dict[str, object]]
BIG = bytes(range(256)) * 800


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "vocab.txt").write_text("a")
    (folder / "model.safetensors").write_bytes(BIG)
    (folder / ".git" / "HEAD").write_text("x")
    ModelCard(model_name="m").save(folder)
    return folder


# huggingface_hub chooses its way of uploading when it is imported, so every upload here has its own process.
PUSH = """
import dataclasses, json
from hf_hub_io import push_to_hub
from hf_hub_io.errors import HfError
try:
    found = dataclasses.asdict(push_to_hub({folder!r}, {options}))
except HfError as error:
    found = {{"error": type(error).__name__, "what": error.what, "fix": error.fix}}
print(json.dumps(found))
"""


@pytest.mark.enable_socket
def test_a_push_makes_one_commit_with_every_file(
    hub: FakeHub, in_child: InChild, model: Path, tmp_path: Path
) -> None:
    options = "'someone/new', commit_message='First', private=True, token='hf_good'"
    result = in_child(PUSH.format(folder=str(model), options=options))
    repo = hub.repos["someone/new"]
    assert (repo.private, repo.messages, result["commit"]) == (
        True,
        ["initial commit", "First"],
        repo.refs["main"],
    )
    names = {"README.md", "config.json", "model.safetensors", "sub/vocab.txt"}
    assert set(repo.commits[repo.refs["main"]]) == names
    assert result["pull_request_url"] is None
    assert result["url"] == f"{hub.url}/someone/new/commit/{result['commit']}"
    back = Repo.open("someone/new", cache_dir=tmp_path / "cache", endpoint=hub.url, token="hf_good")
    assert set(back.list()) == names
    assert back.file("model.safetensors").read_bytes() == BIG


@pytest.mark.enable_socket
def test_a_push_can_ask_instead_and_can_choose_files(hub: FakeHub, in_child: InChild, model: Path) -> None:
    first = hub.add("someone/old", {"keep.txt": b"x"})
    options = "'someone/old', create_pr=True, patterns=('*.json',), token='hf_good'"
    result = in_child(PUSH.format(folder=str(model), options=options))
    repo = hub.repos["someone/old"]
    assert repo.refs["main"] == first
    assert set(repo.commits[repo.refs["refs/pr/1"]]) == {"keep.txt", "config.json"}
    assert result["pull_request_url"] == f"{hub.url}/someone/old/discussions/1"


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ("", "PushRefusedError", "needs an access token, and there is none"),
        ("token='hf_old'", "TokenRefusedError", "expired"),
        ("token='hf_good', revision='nope'", "RevisionNotFoundError", "no revision 'nope'"),
        ("token='hf_good'", "PushRefusedError", "may not write to someone/old"),
        ("token='hf_good', patterns=('*.xyz',)", "FileMissingError", "matches *.xyz"),
    ],
)
def test_refused_pushes(
    options: str, error: str, why: str, hub: FakeHub, in_child: InChild, model: Path
) -> None:
    hub.add("someone/old", {"keep.txt": b"x"})
    hub.plan("POST .*/commit/", Refuse(status=403, message="this token may only read"))
    result = in_child(PUSH.format(folder=str(model), options=f"'someone/old', {options}"))
    assert result["error"] == error
    assert why in str(result["what"])
    assert result["fix"]
    assert len(hub.repos["someone/old"].commits) == 1


def test_a_card_says_what_it_was_told(tmp_path: Path) -> None:
    card = ModelCard(
        model_name="tiny",
        body="Does things.",
        license="apache-2.0",
        language=("en", "de"),
        base_model="org/base",
        tags=("a: b", "#x"),
        results=(
            EvaluationResult(
                task="text-generation", dataset="wiki", dataset_name="Wiki", metric="ppl", value=7.5
            ),
        ),
        extra={"inference": False},
    )
    path = card.save(tmp_path)
    text = path.read_text()
    assert text.endswith("\n---\n\n# tiny\n\nDoes things.\n")
    data = read_card_metadata(path)
    assert {
        k: data[k] for k in ("license", "language", "base_model", "tags", "inference", "library_name")
    } == {
        "license": "apache-2.0",
        "language": ["en", "de"],
        "base_model": "org/base",
        "tags": ["a: b", "#x"],
        "inference": False,
        "library_name": "hf-transformers",
    }
    assert "value: 7.5" in text
    assert "# tiny" not in ModelCard(model_name="tiny", body="# Other\n").render()
    (tmp_path / "plain.md").write_text("no metadata")
    assert read_card_metadata(tmp_path / "plain.md") == {}


@pytest.fixture
def locked(hub: FakeHub, tmp_path: Path) -> tuple[LockedRepo, Path]:
    hub.add("org/model", {"config.json": b"{}", "sub/big.bin": BIG, "skip.txt": b"x"})
    cache = tmp_path / "cache"
    repo = Repo.open("org/model", cache_dir=cache, endpoint=hub.url)
    return lock_repo(repo, patterns=("*.json", "*.bin")), cache


@pytest.mark.enable_socket
def test_a_lock_round_trips_and_notices_changes(locked: tuple[LockedRepo, Path], tmp_path: Path) -> None:
    repo, cache = locked
    assert list(repo.files) == ["config.json", "sub/big.bin"]
    path = tmp_path / "hf.lock"
    Lock().with_repo(repo).write(path)
    again = Lock.read(path).repos["org/model"]
    assert again == repo
    again.verify(cache_dir=cache, local_files_only=True)
    file = again.open(cache_dir=cache, local_files_only=True).file("config.json")
    file.write_bytes(b"{ }")
    with pytest.raises(LockMismatchError, match=r"1 files of org/model .*config\.json \(3 bytes"):
        again.verify(cache_dir=cache, local_files_only=True)


def test_a_local_folder_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="is a local folder"):
        lock_repo(Repo.open(tmp_path))


FILE = '{"size": 1, "sha256": "' + "0" * 64 + '"}'


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"version": 2, "repos": {}}',
        '{"version": 1, "repos": []}',
        '{"version": 1, "repos": {"a/b": {}}}',
        '{"version": 1, "repos": {"a/b": {"commit": "main", "revision": "main", "files": {}}}}',
        '{"version": 1, "repos": {"../b": {"commit": "%s", "revision": "main", "files": {}}}}' % ("0" * 40),
        '{"version": 1, "repos": {"a/b": {"commit": "%s", "revision": "../x", "files": {}}}}' % ("0" * 40),
        '{"version": 1, "repos": {"a/b": {"commit": "%s", "revision": "m", "files": {"../x": FILE}}}}'
        % ("0" * 40),
        '{"version": 1, "repos": {"a/b": {"commit": "%s", "revision": "m", "files": {"x": []}}}}'
        % ("0" * 40),
    ],
)
def test_broken_locks_are_refused(text: str) -> None:
    with pytest.raises(LockError, match=r"^hf\.lock "):
        Lock.parse(text.replace("FILE", FILE).encode(), source="hf.lock")


def test_a_lock_that_is_no_json() -> None:
    with pytest.raises(JsonFileError):
        Lock.parse(b"{", source="hf.lock")


@pytest.mark.enable_socket
def test_a_bundle_carries_a_repository_to_an_empty_cache(
    locked: tuple[LockedRepo, Path], hub: FakeHub, tmp_path: Path
) -> None:
    repo, cache = locked
    lock = Lock().with_repo(repo)
    bundle = tmp_path / "models.tar"
    export_bundle(lock, bundle, cache_dir=cache)
    first = bundle.read_bytes()
    export_bundle(lock, bundle, cache_dir=cache)
    assert bundle.read_bytes() == first, "the same lock gives the same bytes"
    hub.seen.clear()
    other = tmp_path / "other"
    assert import_bundle(bundle, cache_dir=other) == lock
    there = Repo.open("org/model", cache_dir=other, local_files_only=True)
    assert there.commit == repo.commit
    assert there.list() == ("config.json", "sub/big.bin")
    assert there.file("sub/big.bin").read_bytes() == BIG
    import_bundle(bundle, cache_dir=other)
    import_bundle(bundle, cache_dir=cache)
    repo.verify(cache_dir=cache, local_files_only=True)
    assert hub.seen == []


def rewritten(bundle: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    with tarfile.open(bundle) as tar:
        members = [(m, file.read() if (file := tar.extractfile(m)) else b"") for m in tar.getmembers()]
    change(members)
    with tarfile.open(bundle, "w") as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return bundle


def extra(name: str, kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    return info, b""


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m.append(extra("../../evil")), "does not list as a file"),
        (lambda m: m.append(extra("files/x", tarfile.SYMTYPE)), "does not list as a file"),
        (lambda m: m.append(m[1]), "does not list as a file"),
        (lambda m: m.__setitem__(1, extra(m[1][0].name, tarfile.SYMTYPE)), "does not list as a file"),
        (lambda m: m.__setitem__(1, extra(m[1][0].name)), "of 0 bytes; its lock says 2"),
        (lambda m: m.__setitem__(1, (m[1][0], b"[]")), "with the sha256"),
        (lambda m: m.pop(), "lacks 1 files"),
        (lambda m: m.pop(0), "does not start with an hf.lock"),
        (lambda m: m.clear(), "does not start with an hf.lock"),
    ],
)
def test_tampered_bundles_are_refused_and_leave_nothing(
    change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None],
    why: str,
    locked: tuple[LockedRepo, Path],
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "models.tar"
    export_bundle(Lock().with_repo(locked[0]), bundle, cache_dir=locked[1])
    rewritten(bundle, change)
    with pytest.raises(LockError, match=why):
        import_bundle(bundle, cache_dir=tmp_path / "other")
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"not a tar file")
    with pytest.raises(LockError, match="not a readable tar file"):
        import_bundle(tmp_path / "x.tar", cache_dir=tmp_path)
