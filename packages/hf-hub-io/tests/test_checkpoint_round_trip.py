"""What is saved is found again, bit for bit, in one file or many; plans keep their promises."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_hub_io import (
    DType,
    MappedFile,
    RangeRead,
    Repo,
    TensorBytes,
    discover,
    parse_size,
    plan_shards,
    read_json_object,
    read_ranges,
    save_tensors,
    write_safetensors,
)
from hf_hub_io.errors import HeaderError, ShardPlanError, TruncatedFileError


def tensor(data: bytes, dtype: DType = DType.U8) -> TensorBytes:
    return TensorBytes(dtype=dtype, shape=(len(data) * 8 // dtype.bits,), data=data)


def read_all(folder: Path) -> dict[str, tuple[DType, tuple[int, ...], bytes]]:
    checkpoint = discover(Repo.open(folder))
    maps = {file.path: MappedFile.open(file.path) for file in checkpoint.files}
    return {
        name: (info.dtype, info.shape, bytes(maps[info.file].view(name)))
        for name, info in checkpoint.tensors.items()
    }


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, TensorBytes]:
    found = {}
    for name in draw(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=6)):
        if name == "__metadata__":
            continue
        dtype = draw(st.sampled_from(DType))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=2))) + ((8,) if dtype.bits < 8 else ())
        size = dtype.nbytes(shape)
        found[name] = TensorBytes(
            dtype=dtype, shape=shape, data=draw(st.binary(min_size=size, max_size=size))
        )
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(tensors(), st.integers(1, 200), st.booleans())
def test_load_of_save_is_the_same(
    tmp_path: Path, given: dict[str, TensorBytes], limit: int, lazy: bool
) -> None:
    def later(value: TensorBytes) -> TensorBytes:
        return TensorBytes(dtype=value.dtype, shape=value.shape, data=lambda: bytes(memoryview(raw(value))))

    folder = tmp_path / "out"
    plan = save_tensors(
        folder, {k: later(v) for k, v in given.items()} if lazy else given, max_shard_size=limit
    )
    assert read_all(folder) == {k: (v.dtype, v.shape, raw(v)) for k, v in given.items()}
    assert {path.name for path in folder.iterdir()} == {
        *plan.files,
        *([plan.index_name] if plan.is_sharded else []),
    }


def raw(value: TensorBytes) -> bytes:
    assert isinstance(value.data, bytes)
    return value.data


SIZES = st.dictionaries(st.text(max_size=4), st.integers(0, 50), max_size=12)


@given(SIZES, st.integers(1, 100))
def test_a_plan_keeps_the_limit_and_loses_nothing(sizes: Mapping[str, int], limit: int) -> None:
    plan = plan_shards(sizes, max_shard_size=limit)
    ordinary = {name for name in sizes if sizes[name] <= limit}
    placed = [name for names in plan.files.values() for name in names]
    assert sorted(placed) == sorted(sizes)
    assert [name for name in placed if name in ordinary] == [name for name in sizes if name in ordinary]
    assert plan.total_size == sum(sizes.values())
    for names in plan.files.values():
        assert sum(sizes[name] for name in names) <= limit or len(names) == 1
    count = len(plan.files)
    if not plan.is_sharded:
        assert list(plan.files) == ["model.safetensors"]
        return
    assert list(plan.files) == [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    full = [names for names in plan.files.values() if set(names) <= ordinary]
    for names, after in pairwise(full):
        assert sum(sizes[name] for name in (*names, after[0])) > limit, "a file was closed too early"


@given(SIZES, st.integers(1, 100), st.data())
def test_groups_stay_together(sizes: Mapping[str, int], limit: int, data: st.DataObject) -> None:
    group = data.draw(st.lists(st.sampled_from(sorted(sizes)), unique=True) if sizes else st.just([]))
    plan = plan_shards(sizes, max_shard_size=limit, groups=[group] if group else [])
    assert sorted(n for names in plan.files.values() for n in names) == sorted(sizes)
    assert len({file for file, names in plan.files.items() for n in names if n in group}) <= 1


def test_a_group_must_name_tensors_once() -> None:
    for groups, why in (([["a", "x"]], "'x' is not among"), ([["a"], ["a", "b"]], "'a' is in two groups")):
        with pytest.raises(ShardPlanError, match=why):
            plan_shards({"a": 1, "b": 1}, groups=groups)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5GB", 5 * 10**9), ("1.5 KiB", 1536), ("10", 10), (7, 7), ("2tb", 2 * 10**12), ("3MiB", 3 << 20)],
)
def test_sizes(text: str | int, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "GB", "5 XB", "-5GB", "0", 0, -1, "5GB extra"])
def test_bad_sizes_are_refused(text: str | int) -> None:
    with pytest.raises(ShardPlanError, match="the size"):
        parse_size(text)


def test_the_index_has_the_form_of_the_hub(tmp_path: Path) -> None:
    save_tensors(tmp_path, {"b": tensor(b"12"), "a": tensor(b"34"), "c": tensor(b"5")}, max_shard_size=2)
    index = read_json_object(tmp_path / "model.safetensors.index.json")
    assert index == {
        "metadata": {"total_size": 5},
        "weight_map": {
            "a": "model-00002-of-00003.safetensors",
            "b": "model-00001-of-00003.safetensors",
            "c": "model-00003-of-00003.safetensors",
        },
    }


def test_saving_again_replaces_weights_and_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.txt").write_text("x")
    (tmp_path / "link").symlink_to("tokenizer.json")
    (tmp_path / "model-card.safetensors").write_text("not a shard of ours")
    many = {name: tensor(name.encode()) for name in "abc"}
    for limit in (1, 100, 2, 1):
        save_tensors(tmp_path, many, max_shard_size=limit)
        assert {k: v[2] for k, v in read_all(tmp_path).items()} == {name: name.encode() for name in "abc"}
    assert (tmp_path / "tokenizer.json").read_text() == "{}"
    assert (tmp_path / "sub" / "x.txt").read_text() == "x"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model-card.safetensors").exists()
    shards = sorted(path.name for path in tmp_path.glob("model-0*"))
    assert shards == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (TensorBytes(dtype=DType.F32, shape=(2,), data=b"1234"), r"'w' has 4 bytes; F32 \[2\] takes 8"),
        (
            TensorBytes(dtype=DType.F32, shape=(2,), data=lambda: b"1" * 9),
            r"'w' has 9 bytes; F32 \[2\] takes 8",
        ),
        (TensorBytes(dtype=DType.F32, shape=(-2,), data=b""), r"'w' has the shape \[-2\]"),
        (TensorBytes(dtype=DType.F4, shape=(3,), data=b"12"), "'w': .* not whole bytes"),
        (
            TensorBytes(dtype=DType.U8, shape=(2,), data=memoryview(b"1234")[::2]),
            "'w' has bytes that are not contiguous",
        ),
    ],
)
def test_wrong_data_is_refused_and_nothing_changes(bad: TensorBytes, why: str, tmp_path: Path) -> None:
    save_tensors(tmp_path / "out", {"old": tensor(b"1")})
    with pytest.raises(ShardPlanError, match=why):
        save_tensors(tmp_path / "out", {"a": tensor(b"2"), "w": bad}, max_shard_size=1)
    assert list(read_all(tmp_path / "out")) == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_saving_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    size, count = 1 << 20, 20
    lazy = {
        f"w{i}": TensorBytes(dtype=DType.U8, shape=(size,), data=partial(bytes.__mul__, bytes([i]), size))
        for i in range(count)
    }
    tracemalloc.start()
    try:
        save_tensors(tmp_path, lazy, max_shard_size="7MB")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size
    assert sum(path.stat().st_size for path in tmp_path.glob("*.safetensors")) > size * count


def test_no_tensor_is_called_metadata(tmp_path: Path) -> None:
    with pytest.raises(ShardPlanError, match="__metadata__"):
        save_tensors(tmp_path, {"__metadata__": tensor(b"1")})


def test_views_are_not_copies_and_outlive_the_file_object(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"a": tensor(b"abcd"), "b": tensor(b"efgh")})
    with MappedFile.open(path) as mapped:
        first, again = mapped.view("a"), mapped.view("a")
        assert first.readonly
        assert first.obj is again.obj
        with pytest.raises(HeaderError, match="has no tensor 'c'"):
            mapped.view("c")
    assert bytes(first) == b"abcd"


def test_writable_views_never_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"a": tensor(b"abcd")})
    before = path.read_bytes()
    view = MappedFile.open(path, writable=True).view("a")
    view[:] = b"zzzz"
    assert bytes(view) == b"zzzz"
    assert path.read_bytes() == before
    assert bytes(MappedFile.open(path).view("a")) == b"abcd"


@given(
    data=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 50)), max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_ranges_arrive_where_they_belong(tmp_path: Path, data: bytes, cuts: list[tuple[int, int]]) -> None:
    path = tmp_path / "data"
    path.write_bytes(data)
    wanted = [(start, bytearray(length)) for start, length in cuts if start + length <= len(data)]
    total = read_ranges([RangeRead(file=path, start=s, into=b) for s, b in wanted], threads=3)
    assert total == sum(len(b) for _, b in wanted)
    assert all(bytes(b) == data[s : s + len(b)] for s, b in wanted)


def test_large_reads_are_split_and_still_right(tmp_path: Path) -> None:
    path = tmp_path / "data"
    data = bytes(range(256)) * (70 << 12)  # 70 MiB: three chunks
    path.write_bytes(data)
    into = bytearray(len(data) - 1)
    assert read_ranges([RangeRead(file=path, start=1, into=into)], threads=4) == len(into)
    assert bytes(into) == data[1:]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_short_file_is_an_error_not_zeros(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"12345")
    reads = [RangeRead(file=path, start=s, into=bytearray(3)) for s in (0, 2, 4)]
    with pytest.raises(TruncatedFileError, match="ends at byte 5"):
        read_ranges(reads, threads=threads)


def test_a_read_only_buffer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"12345")
    with pytest.raises(ValueError, match="not writable"):
        read_ranges([RangeRead(file=tmp_path / "data", start=0, into=b"abc")])
