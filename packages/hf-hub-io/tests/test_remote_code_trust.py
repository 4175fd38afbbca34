"""Nothing from a repository runs unless somebody vouched for exactly its bytes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hub_io import Repo, Risk, Trust, import_trusted, read_remote_code, scan, trusted_code
from hf_hub_io.errors import FileMissingError, RemoteCodeRefusedError
from hf_hub_io.testing import FakeHub
from hf_hub_io.trust import _hash

CODE = {
    "modeling_x.py": b"from .configuration_x import VALUE\nDOUBLE = 2 * VALUE\n",
    "configuration_x.py": b"VALUE = 21\n",
    "config.json": b'{"auto_map": {"AutoModel": "modeling_x.XModel"}}',
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    root = tmp_path / "repo"
    root.mkdir()
    for name, data in CODE.items():
        (root / name).write_bytes(data)
    return root


def pin(repo: Repo) -> Trust:
    return Trust(revision=repo.commit or "0" * 40, sha256=read_remote_code(repo).sha256)


@pytest.mark.parametrize(
    ("revision", "sha256"),
    [("main", "0" * 64), ("0" * 39, "0" * 64), ("0" * 40, "0" * 63), ("A" * 40, "0" * 64)],
)
def test_only_full_hashes_pin(revision: str, sha256: str) -> None:
    with pytest.raises(RemoteCodeRefusedError, match="does not pin anything"):
        Trust(revision=revision, sha256=sha256)


def test_code_without_trust_is_refused_with_the_line_that_would_grant_it(folder: Path) -> None:
    before = set(sys.modules)
    repo = Repo.open(folder)
    with pytest.raises(RemoteCodeRefusedError, match="nothing vouches for it") as caught:
        import_trusted(repo, "modeling_x.py", None)
    assert read_remote_code(repo).sha256 in caught.value.fix
    assert "configuration_x.py, modeling_x.py" in caught.value.fix
    assert not [name for name in set(sys.modules) - before if "modeling_x" in name]


def test_trusted_code_runs_with_its_siblings(folder: Path) -> None:
    repo = Repo.open(folder)
    module = import_trusted(repo, "modeling_x.py", pin(repo))
    assert vars(module)["DOUBLE"] == 42
    assert import_trusted(repo, "modeling_x.py", pin(repo)) is module
    assert str(folder) not in str(module.__file__), "a private copy runs, which the repository cannot change"


def test_any_changed_byte_in_any_file_withdraws_trust(folder: Path) -> None:
    repo = Repo.open(folder)
    trust = pin(repo)
    (folder / "configuration_x.py").write_bytes(b"VALUE = 22\n")
    with pytest.raises(RemoteCodeRefusedError, match="trust was given for"):
        trusted_code(repo, trust)
    (folder / "configuration_x.py").write_bytes(CODE["configuration_x.py"])
    trusted_code(repo, trust)
    (folder / "more.py").write_bytes(b"")
    with pytest.raises(RemoteCodeRefusedError):
        trusted_code(repo, trust)


def test_a_copy_that_somebody_changed_is_made_anew(folder: Path, tmp_path: Path) -> None:
    (folder / "configuration_x.py").write_bytes(b"VALUE = 4\n")  # its own hash, so not imported yet
    repo = Repo.open(folder)
    trust = pin(repo)
    private = tmp_path / "home" / "trusted_code" / trust.sha256
    private.mkdir(parents=True)
    (private / "modeling_x.py").write_text("raise SystemExit('tampered')")
    (private / "extra.py").write_text("")
    assert vars(import_trusted(repo, "modeling_x.py", trust))["DOUBLE"] == 8
    assert sorted(path.name for path in private.glob("*.py")) == ["configuration_x.py", "modeling_x.py"]


@pytest.mark.parametrize("file", ["nope.py", "config.json", "../x.py", "sub/x.py"])
def test_only_modules_at_the_top_can_be_entered(file: str, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.py").write_text("")
    repo = Repo.open(folder)
    with pytest.raises(FileMissingError, match="no Python module"):
        import_trusted(repo, file, pin(repo))


def test_a_repository_without_code_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="has no Python files"):
        read_remote_code(Repo.open(tmp_path))


@pytest.mark.enable_socket
def test_on_the_hub_the_commit_must_match_too(hub: FakeHub, tmp_path: Path) -> None:
    first = hub.add("org/model", CODE)
    repo = Repo.open("org/model", cache_dir=tmp_path, endpoint=hub.url)
    trust = pin(repo)
    assert trust.revision == first
    second = hub.add("org/model", {**CODE, "README.md": b"new"})
    moved = Repo.open("org/model", cache_dir=tmp_path, endpoint=hub.url)
    with pytest.raises(RemoteCodeRefusedError, match=f"open at commit {second}") as caught:
        trusted_code(moved, trust)
    assert f"revision='{first}'" in caught.value.fix
    assert trusted_code(repo, trust).files["configuration_x.py"] == CODE["configuration_x.py"]


FILES = st.dictionaries(st.text(max_size=5), st.binary(max_size=8), max_size=3)


@given(FILES, FILES)
def test_different_files_have_different_hashes(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (_hash(one) == _hash(other)) == (one == other)
    assert len(_hash(one)) == len(hashlib.sha256().hexdigest())


def test_scanning_finds_what_could_run(folder: Path) -> None:
    for name in ("pytorch_model.bin", "lib.so", "notebook.ipynb", "model.safetensors", "vocab.txt"):
        (folder / name).write_bytes(b"")
    found = {(finding.file, finding.risk) for finding in scan(Repo.open(folder))}
    assert found == {
        ("pytorch_model.bin", Risk.PICKLE),
        ("lib.so", Risk.BINARY),
        ("notebook.ipynb", Risk.CODE),
        ("modeling_x.py", Risk.CODE),
        ("configuration_x.py", Risk.CODE),
        ("config.json", Risk.CODE_REFERENCE),
    }
