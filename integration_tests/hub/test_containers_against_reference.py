"""Our readers and writers of containers against the libraries that define them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hf_hub_io import (
    DType,
    GgmlType,
    GgufFile,
    MappedFile,
    Repo,
    TensorBytes,
    discover,
    parse_size,
    plan_shards,
    save_tensors,
    write_safetensors,
)
from hf_hub_io.errors import HeaderError

pytestmark = pytest.mark.parity

NUMPY = {
    DType.BOOL: "bool",
    DType.U8: "u1",
    DType.I8: "i1",
    DType.I16: "i2",
    DType.U16: "u2",
    DType.F16: "f2",
    DType.I32: "i4",
    DType.U32: "u4",
    DType.F32: "f4",
    DType.C64: "c8",
    DType.F64: "f8",
    DType.I64: "i8",
    DType.U64: "u8",
}


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    found = {}
    for dtype, code in NUMPY.items():
        for name, shape in (("a", (3, 5)), ("scalar", ()), ("none", (0, 4))):
            raw = random.integers(0, 2, size=int(np.prod(shape)) * np.dtype(code).itemsize, dtype="u1")
            found[f"{dtype.value}.{name}"] = np.frombuffer(raw.tobytes(), dtype=code).reshape(shape)
    return found


def ours(values: dict[str, np.ndarray]) -> dict[str, TensorBytes]:
    codes = {np.dtype(code): dtype for dtype, code in NUMPY.items()}
    return {
        name: TensorBytes(dtype=codes[value.dtype], shape=value.shape, data=value.tobytes())
        for name, value in values.items()
    }


def test_our_files_are_the_reference_writers_byte_for_byte(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    values = arrays()
    write_safetensors(tmp_path / "ours.safetensors", ours(values), metadata={"format": "pt"})
    save_file(values, tmp_path / "theirs.safetensors", {"format": "pt"})
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_both_readers_agree_on_every_type(tmp_path: Path) -> None:
    from safetensors import deserialize

    path = tmp_path / "all.safetensors"
    shape = (2, 8)
    tensors = {
        dtype.value: TensorBytes(dtype=dtype, shape=shape, data=bytes([i]) * dtype.nbytes(shape))
        for i, dtype in enumerate(DType)
    }
    write_safetensors(path, tensors)
    theirs = dict(deserialize(path.read_bytes()))
    mapped = MappedFile.open(path)
    assert mapped.tensors.keys() == theirs.keys() == {dtype.value for dtype in DType}
    for name, value in theirs.items():
        info = mapped.tensors[name]
        assert (info.dtype.value, list(info.shape)) == (value["dtype"], value["shape"])
        assert bytes(mapped.view(name)) == bytes(value["data"])


def test_whatever_the_reference_refuses_we_refuse(tmp_path: Path) -> None:
    """Random damage to a file: we may be stricter than the reference, never laxer."""
    from safetensors import SafetensorError, safe_open

    path = tmp_path / "x.safetensors"
    values = {"a": np.zeros((2, 2), "f4"), "b": np.ones(3, "i8")}
    write_safetensors(path, ours(values))
    good, random = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(random.integers(1, 4)):
            data[random.integers(0, len(good) - 40)] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            with safe_open(path, framework="np") as file:
                file.keys()
        except (SafetensorError, UnicodeDecodeError):
            refused += 1
            with pytest.raises(HeaderError):
                MappedFile.open(path)
    assert refused > 500


def test_torch_reads_our_views_without_a_copy(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    values = {
        "bf16": torch.randn(3, 4).to(torch.bfloat16),
        "f8": torch.randn(3, 4).to(torch.float8_e4m3fn),
        "f32": torch.randn(5),
    }
    save_file(values, tmp_path / "m.safetensors")
    mapped = MappedFile.open(tmp_path / "m.safetensors", writable=True)
    dtypes = {DType.BF16: torch.bfloat16, DType.F8_E4M3: torch.float8_e4m3fn, DType.F32: torch.float32}
    for name, expected in values.items():
        info = mapped.tensors[name]
        found = torch.frombuffer(mapped.view(name), dtype=dtypes[info.dtype]).reshape(info.shape)
        assert torch.equal(found.view(torch.uint8), expected.view(torch.uint8))
        found.view(torch.uint8).zero_()
    assert all(
        torch.equal(value.view(torch.uint8), values[name].view(torch.uint8))
        for name, value in load_file(tmp_path / "m.safetensors").items()
    ), "writing to a view must not reach the file"


@pytest.mark.parametrize("limit", [40, 100, 1000, "1KB", "10KB"])
def test_shards_and_index_are_those_of_huggingface_hub(limit: int | str, tmp_path: Path) -> None:
    import torch
    from huggingface_hub import save_torch_state_dict

    state = {f"layer.{i}.w": torch.randn(i + 1, 7) for i in range(12)}
    (tmp_path / "theirs").mkdir()
    save_torch_state_dict(state, tmp_path / "theirs", max_shard_size=limit)
    tensors = {
        name: TensorBytes(dtype=DType.F32, shape=tuple(value.shape), data=value.numpy().tobytes())
        for name, value in state.items()
    }
    save_tensors(tmp_path / "ours", tensors, max_shard_size=limit)
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == names
    for name in names:
        one, other = (tmp_path / side / name for side in ("ours", "theirs"))
        if name.endswith(".json"):
            index, reference = json.loads(one.read_text()), json.loads(other.read_text())
            assert index["weight_map"] == reference["weight_map"]
            assert index["metadata"]["total_size"] == reference["metadata"]["total_size"]
        else:
            assert one.read_bytes() == other.read_bytes()


def test_the_peer_loads_what_we_shard_and_we_find_what_it_saves(tmp_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=30
    )
    model = BertModel(config).eval()
    model.save_pretrained(tmp_path / "peer", max_shard_size="8KB")
    checkpoint = discover(Repo.open(tmp_path / "peer"))
    assert len(checkpoint.files) > 1
    state = model.state_dict()
    assert checkpoint.tensors.keys() == state.keys()
    maps = {file.path: MappedFile.open(file.path) for file in checkpoint.files}
    tensors = {
        name: TensorBytes(dtype=info.dtype, shape=info.shape, data=maps[info.file].view(name))
        for name, info in checkpoint.tensors.items()
    }
    save_tensors(tmp_path / "ours", tensors, max_shard_size="6KB")
    (tmp_path / "ours" / "config.json").write_text((tmp_path / "peer" / "config.json").read_text())
    again = BertModel.from_pretrained(tmp_path / "ours").eval()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())


def test_the_table_of_ggml_types_is_the_reference_table() -> None:
    from gguf import GGML_QUANT_SIZES

    assert {(t.name, int(t), t.block, t.block_bytes) for t in GgmlType} == {
        (t.name, int(t), *sizes) for t, sizes in GGML_QUANT_SIZES.items()
    }


def test_gguf_files_of_the_reference_writer_are_read_the_same(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "m.gguf"
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_rope_freq_base(10_000.0)
    writer.add_bool("flag", True)
    writer.add_token_list(["<s>", "é", "\u2581the"])
    writer.add_token_scores([0.0, -1.5, 2.0])
    writer.add_array("sizes", [1, 2, 3])
    writer.add_custom_alignment(64)
    dense = random.standard_normal((4, 256)).astype("f4")
    writer.add_tensor("dense", dense)
    writer.add_tensor("half", dense.astype("f2"))
    writer.add_tensor("vector", dense[0])
    kinds = [gguf.GGMLQuantizationType[name] for name in ("Q4_0", "Q8_0", "Q5_1", "BF16")]
    for kind in kinds:
        writer.add_tensor(kind.name, gguf.quants.quantize(dense, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    reader, file = gguf.GGUFReader(path), GgufFile.open(path)
    internal = ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count")
    expected = {key: field.contents() for key, field in reader.fields.items() if key not in internal}
    found = {key: list(value) if isinstance(value, tuple) else value for key, value in file.metadata.items()}
    assert found == expected
    assert list(file.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        info = file.tensors[tensor.name]
        assert info.type.name == tensor.tensor_type.name
        assert list(info.shape) == [int(size) for size in reversed(tensor.shape)]
        assert (info.start, info.nbytes) == (tensor.data_offset, tensor.n_bytes)
        assert bytes(file.view(tensor.name)) == tensor.data.tobytes()


def test_sizes_are_read_as_huggingface_hub_reads_them() -> None:
    from huggingface_hub.serialization._base import parse_size_to_int

    for text in ("5GB", "1.5MB", "200KB", "3TB", "0.5gb"):
        assert parse_size(text) == parse_size_to_int(text)


def test_plans_are_those_of_huggingface_hub() -> None:
    from huggingface_hub.serialization import split_state_dict_into_shards_factory

    random = np.random.default_rng(3)
    for _ in range(200):
        sizes = {f"t{i}": int(size) for i, size in enumerate(random.integers(0, 60, random.integers(1, 20)))}
        limit = int(random.integers(1, 120))
        theirs = split_state_dict_into_shards_factory(
            sizes,
            get_storage_size=int,
            get_storage_id=lambda _: None,
            filename_pattern="model{suffix}.safetensors",
            max_shard_size=limit,
        )
        plan = plan_shards(sizes, max_shard_size=limit)
        assert theirs.is_sharded == plan.is_sharded
        assert {k: list(v) for k, v in plan.files.items()} == theirs.filename_to_tensors, (sizes, limit)
