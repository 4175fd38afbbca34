"""GGUF containers: what a writer put in comes out, and every broken table is refused by name."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_hub_io import GgmlType, GgufFile, Repo, WeightFormat, discover
from hf_hub_io.errors import GgufError, ShardMissingError

Entry = tuple[str, list[int], int, int]  # name, sizes (fastest first), type, offset


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(name: str, sizes: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def container(
    metadata: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    align: int = 32,
) -> bytes:
    head = (
        b"GGUF"
        + struct.pack("<IQQ", version, len(tensors), len(metadata))
        + b"".join(metadata)
        + b"".join(tensors)
    )
    return head + b"\0" * (-len(head) % align) + data


def metadata(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


F32 = entry("w", [3, 2], 0, 0)


def test_a_container_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    entries = [
        metadata("general.architecture", 8, text("llama")),
        metadata("f", 6, struct.pack("<f", 0.5)),
        metadata("b", 7, b"\x01"),
        metadata("i", 11, struct.pack("<q", -7)),
        metadata("tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("é")),
        metadata("sizes", 9, struct.pack("<IQ3I", 4, 3, 1, 2, 3)),
        metadata("nested", 9, struct.pack("<IQ", 9, 2) + 2 * struct.pack("<IQ2B", 0, 2, 5, 6)),
        metadata("general.alignment", 4, struct.pack("<I", 64)),
    ]
    tensors = [entry("q", [32, 2], int(GgmlType.Q8_0), 64), F32]
    path.write_bytes(container(entries, tensors, bytes(range(24)) + b"\0" * 40 + bytes(range(68)), align=64))
    file = GgufFile.open(path)
    assert file.version == 3
    assert file.metadata == {
        "general.architecture": "llama",
        "f": 0.5,
        "b": True,
        "i": -7,
        "tokens": ("a", "é"),
        "sizes": (1, 2, 3),
        "nested": ((5, 6), (5, 6)),
        "general.alignment": 64,
    }
    assert file.tensors["w"].shape == (2, 3), "row-major: the fastest dimension last"
    assert (file.tensors["q"].type, file.tensors["q"].shape, file.tensors["q"].nbytes) == (
        GgmlType.Q8_0,
        (2, 32),
        68,
    )
    assert bytes(file.view("w")) == bytes(range(24))
    assert bytes(file.view("q")) == bytes(range(68))
    assert file.view("q").readonly
    with pytest.raises(GgufError, match="has no tensor 'z'"):
        file.view("z")
    assert not GgufFile.open(path, writable=True).view("q").readonly


BROKEN = {
    "too short": (b"GGUF", "too short"),
    "magic": (b"GGML" + b"\0" * 40, "starts with b'GGML'"),
    "version 1": (container(version=1), "GGUF version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is big-endian"),
    "metadata count": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "ends at byte"),
    "tensor count": (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "ends at byte"),
    "string length": (container([struct.pack("<Q", 2**62) + b"x"]), "needs 4,611,686,018,427,387,904 bytes"),
    "array length": (container([metadata("k", 9, struct.pack("<IQ", 4, 2**62))]), "inside k"),
    "text array length": (container([metadata("k", 9, struct.pack("<IQ", 8, 2**62))]), "inside k"),
    "bad text": (container([metadata("k", 8, text(b"\xff"))]), "not valid UTF-8"),
    "value type": (container([metadata("k", 99, b"")]), "'k' the unknown type 99"),
    "array type": (container([metadata("k", 9, struct.pack("<IQ", 77, 1))]), "'k' the unknown type 77"),
    "deep arrays": (container([metadata("k", 9, struct.pack("<IQ", 9, 1) * 20)]), "nests arrays"),
    "key twice": (container([metadata("k", 0, b"1")] * 2), "'k' twice"),
    "tensor twice": (container([], [F32, F32], b"\0" * 24), "'w' twice"),
    "alignment": (container([metadata("general.alignment", 4, struct.pack("<I", 3))]), "general.alignment 3"),
    "alignment text": (container([metadata("general.alignment", 8, text("32"))]), "general.alignment '32'"),
    "dimensions": (container([], [entry("w", [1] * 5, 0, 0)], b"\0" * 4), "5 dimensions"),
    "many dimensions": (container([], [text("w") + struct.pack("<I", 2**31)]), "dimensions"),
    "tensor type": (container([], [entry("w", [1], 5, 0)], b"\0" * 4), "as type 5, which is unknown"),
    "half a block": (
        container([], [entry("w", [31], 8, 0)], b"\0" * 34),
        "rows of 31, not whole Q8_0 blocks of 32",
    ),
    "offset": (container([], [entry("w", [1], 0, 4)], b"\0" * 8), "offset 4, not a multiple of 32"),
    "cut data": (container([], [F32], b"\0" * 23), "is cut short: tensor 'w' ends at byte"),
    "huge tensor": (container([], [entry("w", [2**62, 2**62], 0, 0)], b"\0" * 24), "is cut short"),
    "shared bytes": (
        container([], [F32, entry("v", [20], 0, 0)], b"\0" * 96),
        "tensors .* share bytes",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_containers_are_refused_by_name(name: str, tmp_path: Path) -> None:
    data, why = BROKEN[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(GgufError, match=why) as caught:
        GgufFile.open(path)
    assert str(path) in caught.value.what
    assert caught.value.fix


GOOD = container([metadata("k", 9, struct.pack("<IQ", 8, 1) + text("v"))], [F32], b"\0" * 24)


def test_every_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.gguf"
    for length in range(len(GOOD)):
        path.write_bytes(GOOD[:length])
        with pytest.raises(GgufError):
            GgufFile.open(path)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, len(GOOD) - 25), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_read_or_refused_and_never_crash(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    path = tmp_path / "fuzz.gguf"
    path.write_bytes(data)
    try:
        file = GgufFile.open(path)
    except GgufError:  # the only error there may be
        return
    for name, tensor in file.tensors.items():
        assert len(file.view(name)) == tensor.nbytes


def test_discovery_takes_one_file_or_all_parts(tmp_path: Path) -> None:
    for name in ("m.gguf", "s-00001-of-00002.gguf", "s-00002-of-00002.gguf"):
        (tmp_path / name).write_bytes(GOOD)
    repo = Repo.open(tmp_path)
    checkpoint = discover(repo, weights_name="m.gguf")
    assert (checkpoint.format, checkpoint.nbytes) == (WeightFormat.GGUF, len(GOOD))
    parts = discover(repo, weights_name="s-00001-of-00002.gguf")
    assert [file.name for file in parts.files] == ["s-00001-of-00002.gguf", "s-00002-of-00002.gguf"]
    (tmp_path / "s-00002-of-00002.gguf").unlink()
    with pytest.raises(ShardMissingError, match=r"no s-00002-of-00002\.gguf"):
        discover(repo, weights_name="s-00001-of-00002.gguf")
