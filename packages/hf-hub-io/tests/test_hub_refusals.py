"""What the Hub refuses or cannot say becomes an error with its own class, cause and fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_hub_io import Repo, discover
from hf_hub_io.errors import (
    FileMissingError,
    HubUnreachableError,
    OfflineMissError,
    RateLimitedError,
    RepoGatedError,
    RepoNotFoundError,
    RevisionNotFoundError,
    TokenRefusedError,
    UnsafePathError,
)
from hf_hub_io.testing import FakeHub, Refuse

InChild = Callable[..., dict[str, object]]
pytestmark = [pytest.mark.enable_socket]
BIG = bytes(range(256)) * 800


def opened(hub: FakeHub, cache: Path, repo_id: str = "org/model", **options: str | bool) -> Repo:
    return Repo.open(repo_id, cache_dir=cache, endpoint=hub.url, **options)  # type: ignore[arg-type]  # options differ in type


NO_IDS = ["no/such/folder", "/no/such/folder", "./model", "a--b/c", "org/model/", "~/model", "a b"]

REFUSALS = [
    (
        {"repo_id": "org/none"},
        RepoNotFoundError,
        "org/none does not exist on the Hub, or it is private and no token was sent",
    ),
    (
        {"repo_id": "org/none", "token": "hf_good"},
        RepoNotFoundError,
        "the token from the token argument may not see it",
    ),
    (
        {"repo_id": "org/private"},
        RepoNotFoundError,
        "org/private does not exist on the Hub, or it is private",
    ),
    ({"repo_id": "org/gated"}, RepoGatedError, "org/gated is gated, and anonymous access is not let in"),
    ({"repo_id": "org/gated", "token": "hf_good"}, RepoGatedError, "the token from the token argument"),
    ({"token": "hf_old"}, TokenRefusedError, "the access token from the token argument .* is expired"),
    ({"token": "hf_wrong"}, TokenRefusedError, "Invalid credentials"),
    ({"revision": "v9"}, RevisionNotFoundError, "org/model has no revision 'v9'"),
    ({"revision": "0" * 40}, RevisionNotFoundError, "has no revision '0000"),
]


@pytest.mark.parametrize(("options", "error", "why"), REFUSALS)
def test_every_refusal_has_its_own_error(
    options: dict[str, str], error: type[Exception], why: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add("org/model", {"config.json": b"{}"})
    hub.add("org/private", {"config.json": b"{}"}, private=True)
    hub.add("org/gated", {"config.json": b"{}"}, gated=True)
    with pytest.raises(error, match=why) as caught:
        opened(hub, tmp_path, **options).file("config.json")
    assert type(caught.value) is error
    text = str(caught.value)
    assert "fix: " in text
    assert len(text.splitlines()) <= 8
    assert caught.value.__suppress_context__
    assert "hf_" not in text.replace("hf_hub_io", ""), "a token must not be printed"


@pytest.mark.parametrize("where", ["HF_TOKEN", "file"])
def test_the_source_of_a_refused_token_is_named(
    where: str, hub: FakeHub, tmp_path: Path, in_child: InChild
) -> None:
    hub.add("org/model", {"config.json": b"{}"})
    (tmp_path / "token").write_text("hf_old")
    code = """
        import json
        from hf_hub_io import Repo
        from hf_hub_io.errors import TokenRefusedError
        try:
            Repo.open("org/model")
        except TokenRefusedError as error:
            print(json.dumps({"what": error.what, "fix": error.fix}))
    """
    if where == "HF_TOKEN":
        (tmp_path / "token").unlink()
        answer, source = in_child(code, HF_TOKEN="hf_old"), "the environment variable HF_TOKEN"
    else:
        answer, source = in_child(code), f"the file {tmp_path / 'token'}"
    assert f"the access token from {source}" in str(answer["what"])
    assert source in str(answer["fix"])


def test_private_and_gated_repositories_open_for_the_right_token(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/private", {"config.json": b'{"p": 1}'}, private=True)
    hub.add("org/gated", {"config.json": b'{"g": 1}'}, gated=True)
    hub.repos["org/gated"].granted.add("hf_good")
    assert opened(hub, tmp_path, "org/private", token="hf_good").read_json("config.json") == {"p": 1}
    assert opened(hub, tmp_path, "org/gated", token="hf_good").read_json("config.json") == {"g": 1}


def test_a_missing_file_names_its_neighbours(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}", "tokenizer.json": b"{}"})
    with pytest.raises(FileMissingError, match=r"has no file 'tokeniser\.json'") as caught:
        opened(hub, tmp_path).file("tokeniser.json")
    assert "tokenizer.json" in caught.value.fix


def test_a_short_pause_is_made_and_a_long_one_is_reported(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}"})
    hub.plan("GET /api/models", Refuse(status=429, headers={"Retry-After": "0"}), times=2)
    assert opened(hub, tmp_path).list() == ("config.json",)
    assert [seen.status for seen in hub.seen] == [429, 429, 200]
    hub.plan("GET /api/models", Refuse(status=429, headers={"Retry-After": "3600"}, message="quota used up"))
    with pytest.raises(RateLimitedError, match=r"too many requests .*quota used up") as caught:
        opened(hub, tmp_path / "other")
    assert caught.value.retry_after == 3600
    assert "after 3600 seconds" in caught.value.fix


def test_a_server_error_is_not_a_missing_repository(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}"})
    hub.plan("GET /api/models", Refuse(status=500), times=1)
    with pytest.raises(HubUnreachableError, match="answered 500"):
        opened(hub, tmp_path)


def test_a_silent_hub_falls_back_to_the_cache_and_says_so(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit = hub.add("org/model", {"config.json": b"{}", "big.bin": BIG})
    opened(hub, tmp_path).file("config.json")
    nowhere = "http://127.0.0.1:9"  # the discard port: nobody listens
    repo = Repo.open("org/model", cache_dir=tmp_path, endpoint=nowhere)
    assert repo.commit == commit
    assert repo.read_json("config.json") == {}
    assert "could not be reached" in caplog.text
    with pytest.raises(OfflineMissError, match=r"big\.bin"):
        repo.file("big.bin")
    with pytest.raises(HubUnreachableError, match="could not be reached for org/other"):
        Repo.open("org/other", cache_dir=tmp_path, endpoint=nowhere)


@pytest.mark.parametrize("switch", ["argument", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_uses_the_cache_and_names_everything_on_a_miss(
    switch: str, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("org/model", {"config.json": b"{}", "model.safetensors": BIG})
    opened(hub, tmp_path).file("config.json")
    hub.seen.clear()
    said = "local_files_only=True"
    if switch != "argument":
        monkeypatch.setenv(switch, "1")
        said = f"{switch}=1"
    repo = opened(hub, tmp_path, local_files_only=switch == "argument")
    assert repo.read_json("config.json") == {}
    assert repo.find("generation_config.json") is None
    for name, ask in (("model.safetensors", repo.file), ("model.safetensors", lambda _: discover(repo))):
        with pytest.raises(OfflineMissError) as caught:
            ask(name)
        for fact in ("org/model", commit, name, str(tmp_path), said):
            assert fact in caught.value.what
    with pytest.raises(OfflineMissError, match=r"org/model at revision 'v2' is not in the cache"):
        opened(hub, tmp_path, revision="v2", local_files_only=switch == "argument")
    assert hub.seen == []


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_folder_and_no_id_is_told_so(name: str, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(RepoNotFoundError, match="neither a folder on this machine nor a Hub id"):
        opened(hub, tmp_path, name)
    assert hub.seen == []


def test_a_hub_that_lists_a_hostile_name_writes_nothing_outside(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", {"../../evil.json": b"{}", "config.json": b"{}"})
    cache = tmp_path / "cache"
    with pytest.raises(UnsafePathError):
        opened(hub, cache).snapshot()
    assert not list(tmp_path.rglob("evil.json"))
