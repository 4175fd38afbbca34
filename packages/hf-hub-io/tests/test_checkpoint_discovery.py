"""Weights are found under every spelling in use, and anything contradictory is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_hub_io import (
    DType,
    JsonLike,
    Repo,
    TensorBytes,
    WeightFormat,
    atomic_write_json,
    discover,
    discover_adapter,
    has_adapter,
    save_tensors,
    write_safetensors,
)
from hf_hub_io.errors import (
    AdapterError,
    FileMissingError,
    HeaderError,
    JsonFileError,
    PickleRefusedError,
    RepoNotFoundError,
    ShardIndexError,
    ShardMissingError,
    TruncatedFileError,
    UnsafePathError,
    WeightsNotFoundError,
)


def weights(path: Path, *names: str) -> Path:
    write_safetensors(
        path, {name: TensorBytes(dtype=DType.U8, shape=(1,), data=name[:1].encode()) for name in names}
    )
    return path


def sharded(folder: Path) -> Path:
    tensors = {name: TensorBytes(dtype=DType.U8, shape=(1,), data=name.encode()) for name in "abcd"}
    save_tensors(folder, tensors, max_shard_size=2)
    return folder / "model.safetensors.index.json"


def found(folder: Path, **options: str | bool) -> list[str]:
    checkpoint = discover(Repo.open(folder), **options)  # type: ignore[arg-type]  # options differ in type
    return [file.name for file in checkpoint.files]


def test_one_file_is_preferred_to_an_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    assert found(tmp_path) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weights(tmp_path / "model.safetensors", "a")
    assert found(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("file", "index"),
    [
        ("model.fp16.safetensors", None),
        ("model.fp16-00001-of-00001.safetensors", "model.safetensors.index.fp16.json"),
        ("model-00001-of-00001.fp16.safetensors", "model.fp16.safetensors.index.json"),
    ],
)
def test_variants_in_all_three_spellings(file: str, index: str | None, tmp_path: Path) -> None:
    weights(tmp_path / file, "a")
    if index:
        atomic_write_json(tmp_path / index, {"weight_map": {"a": file}})
    assert found(tmp_path, variant="fp16") == [file]
    with pytest.raises(WeightsNotFoundError, match=r"none of model\.safetensors") as caught:
        discover(Repo.open(tmp_path))
    assert file in caught.value.fix


def test_subfolder_and_custom_names(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    weights(tmp_path / "unet" / "diffusion.safetensors", "a")
    repo = Repo.open(tmp_path, subfolder="unet")
    checkpoint = discover(repo, weights_name="diffusion.safetensors")
    assert checkpoint.files[0].path == tmp_path / "unet" / "diffusion.safetensors"
    assert found(tmp_path, weights_name="unet/diffusion.safetensors") == ["unet/diffusion.safetensors"]
    assert repo.list() == ("diffusion.safetensors",)
    sharded(tmp_path / "deep")
    shards = ["deep/model-00001-of-00002.safetensors", "deep/model-00002-of-00002.safetensors"]
    assert found(tmp_path, weights_name="deep/model.safetensors.index.json") == shards
    assert found(tmp_path, weights_name="deep/model.safetensors") == shards


def test_pickle_only_with_an_opt_in(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(PickleRefusedError, match=r"only in pytorch_model\.bin") as caught:
        discover(Repo.open(tmp_path))
    assert "allow_pickle=True" in caught.value.fix
    with pytest.raises(PickleRefusedError):
        discover(Repo.open(tmp_path), weights_name="pytorch_model.bin")
    checkpoint = discover(Repo.open(tmp_path), allow_pickle=True)
    assert checkpoint.format is WeightFormat.PICKLE
    assert (dict(checkpoint.tensors), checkpoint.nbytes) == ({}, 3)
    weights(tmp_path / "model.safetensors", "a")
    assert found(tmp_path, allow_pickle=True) == ["model.safetensors"], "safetensors win over pickle"


def test_pickle_shards(tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / f"pytorch_model-{i}.bin").write_bytes(b"x")
    weight_map = {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}
    atomic_write_json(tmp_path / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    with pytest.raises(PickleRefusedError, match=r"pytorch_model\.bin\.index\.json"):
        discover(Repo.open(tmp_path))
    assert found(tmp_path, allow_pickle=True) == ["pytorch_model-1.bin", "pytorch_model-2.bin"]


def test_a_safetensors_index_cannot_smuggle_pickle(tmp_path: Path) -> None:
    (tmp_path / "evil.bin").write_bytes(b"\x80\x02.")
    atomic_write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": "evil.bin"}})
    for allow in (False, True):
        with pytest.raises(ShardIndexError, match=r"index of safetensors files and names evil\.bin"):
            discover(Repo.open(tmp_path), allow_pickle=allow)


def test_a_missing_shard(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        ShardMissingError, match=r"places 2 tensors in model-00002-of-00002\.safetensors, and .* has no such"
    ):
        discover(Repo.open(tmp_path))


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(TruncatedFileError, match=r"model-00002-of-00002\.safetensors is cut short"):
        discover(Repo.open(tmp_path))


@pytest.mark.parametrize(
    ("weight_map", "error", "why"),
    [
        (
            {"a": "../../etc/passwd"},
            UnsafePathError,
            r"index\.json: the file name '\.\./\.\./etc/passwd' is refused",
        ),
        ({"a": "/etc/passwd"}, UnsafePathError, "it is absolute"),
        ({"a": 3}, ShardIndexError, "'a' in 3, which is not a file name"),
        ({}, ShardIndexError, "has no weight_map"),
        ([], ShardIndexError, "has no weight_map"),
        (None, ShardIndexError, "has no weight_map"),
    ],
)
def test_bad_indices(weight_map: JsonLike, error: type[Exception], why: str, tmp_path: Path) -> None:
    weights(tmp_path / "x.safetensors", "a")
    atomic_write_json(tmp_path / "model.safetensors.index.json", {"weight_map": weight_map})
    with pytest.raises(error, match=why):
        discover(Repo.open(tmp_path))


def test_an_index_that_repeats_a_tensor(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "x", "a": "y"}}')
    with pytest.raises(JsonFileError, match="'a' appears twice"):
        discover(Repo.open(tmp_path))


def test_index_and_shards_must_agree(tmp_path: Path) -> None:
    one, two = weights(tmp_path / "1.safetensors", "a", "b"), weights(tmp_path / "2.safetensors", "c")
    index = tmp_path / "model.safetensors.index.json"

    def refused(weight_map: dict[str, str], why: str) -> None:
        atomic_write_json(index, {"weight_map": weight_map})
        with pytest.raises(ShardIndexError, match=why):
            discover(Repo.open(tmp_path))

    right = {"a": one.name, "b": one.name, "c": two.name}
    refused(
        {**right, "ghost": two.name}, r"lists 1 tensors that its files lack, e\.g\. in 2\.safetensors: ghost"
    )
    refused({"a": one.name, "c": two.name}, "does not list 1 tensors that its files hold: b")
    refused({**right, "b": two.name}, r"places tensor 'b' in 2\.safetensors, and it is in 1\.safetensors")
    weights(two, "c", "a")
    refused(right, "holds 1 tensors that an earlier file holds too: a")


def test_same_shard_names_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    for folder, name in (("x", "a"), ("y", "b")):
        (tmp_path / folder).mkdir()
        weights(tmp_path / folder / "w.safetensors", name)
    index = tmp_path / "model.safetensors.index.json"
    atomic_write_json(index, {"weight_map": {"a": "x/w.safetensors", "b": "y/w.safetensors"}})
    assert found(tmp_path) == ["x/w.safetensors", "y/w.safetensors"]
    atomic_write_json(index, {"weight_map": {"a": "y/w.safetensors", "b": "x/w.safetensors"}})
    with pytest.raises(ShardIndexError, match="places tensor"):
        discover(Repo.open(tmp_path))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"none of model\.safetensors") as caught:
        discover(Repo.open(tmp_path))
    assert "no file in it looks like weights" in caught.value.fix
    with pytest.raises(UnsafePathError):
        discover(Repo.open(tmp_path), weights_name="../model.safetensors")


def test_a_directory_is_not_a_weight_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(WeightsNotFoundError):
        discover(Repo.open(tmp_path))


def test_a_shard_that_is_not_safetensors_inside(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x02}q\x00." * 10)
    with pytest.raises(HeaderError, match="is not a safetensors file"):
        discover(Repo.open(tmp_path))


def test_adapters(tmp_path: Path) -> None:
    assert not has_adapter(Repo.open(tmp_path))
    with pytest.raises(FileMissingError, match=r"adapter_config\.json"):
        discover_adapter(Repo.open(tmp_path))
    config: JsonLike = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8}
    atomic_write_json(tmp_path / "adapter_config.json", config)
    with pytest.raises(WeightsNotFoundError, match=r"adapter_model\.safetensors"):
        discover_adapter(Repo.open(tmp_path))
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(PickleRefusedError):
        discover_adapter(Repo.open(tmp_path))
    assert discover_adapter(Repo.open(tmp_path), allow_pickle=True).weights.format is WeightFormat.PICKLE
    weights(tmp_path / "adapter_model.safetensors", "lora_A")
    adapter = discover_adapter(Repo.open(tmp_path))
    assert (adapter.kind, adapter.base_model, adapter.config["r"]) == ("LORA", "org/base", 8)
    assert list(adapter.weights.tensors) == ["lora_A"]
    assert has_adapter(Repo.open(tmp_path))


@pytest.mark.parametrize(
    "config", [{}, {"peft_type": 1}, {"peft_type": "LORA", "base_model_name_or_path": 3}]
)
def test_unusable_adapter_configs(config: dict[str, int], tmp_path: Path) -> None:
    weights(tmp_path / "adapter_model.safetensors", "a")
    atomic_write_json(tmp_path / "adapter_config.json", config)
    with pytest.raises(AdapterError, match=r"adapter_config\.json has the"):
        discover_adapter(Repo.open(tmp_path))


def test_a_local_repo_lists_suggests_and_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": 1}')
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    repo = Repo.open(tmp_path)
    assert (repo.list(), repo.is_local, repo.commit) == (("config.json",), True, None)
    assert repo.read_json("config.json") == {"a": 1}
    assert repo.find("none.json") is None
    assert repo.snapshot(("*.json",)) == tmp_path
    with pytest.raises(FileMissingError, match=r"has no file 'confg\.json'") as caught:
        repo.file("confg.json")
    assert "config.json" in caught.value.fix
    for name in ("../x", "/etc/passwd", "a\\b"):
        with pytest.raises(UnsafePathError):
            repo.find(name)
    with pytest.raises(UnsafePathError):
        Repo.open(tmp_path, subfolder="../up")
    with pytest.raises(RepoNotFoundError, match="is a file, and a repository is a folder"):
        Repo.open(tmp_path / "config.json")
