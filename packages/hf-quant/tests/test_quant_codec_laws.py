"""What holds for every format of floats, levels and grids, whatever its numbers are."""

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from hf_hub_io.gguf import GgmlType
from hf_quant.codec import Codec, OwnProduct, Stored
from hf_quant.codecs.aqlm import Aqlm
from hf_quant.codecs.awq import AwqGemm, AwqGemv
from hf_quant.codecs.bitnet import BitNetOnline, BitNetPacked
from hf_quant.codecs.bitsandbytes_4bit import BitsAndBytes4Bit
from hf_quant.codecs.bitsandbytes_int8 import BitsAndBytesInt8
from hf_quant.codecs.compressed import CompressedFloats, CompressedIntegers
from hf_quant.codecs.eetq import Eetq
from hf_quant.codecs.fp8 import Fp4Row, Fp8Block, Fp8Row, Fp8Tensor
from hf_quant.codecs.fp_quant import FPQuant
from hf_quant.codecs.gemma import GemmaRows
from hf_quant.codecs.ggml import Ggml
from hf_quant.codecs.gptq import Gptq
from hf_quant.codecs.higgs import Higgs
from hf_quant.codecs.hqq import Hqq
from hf_quant.codecs.mlx import Mlx
from hf_quant.codecs.mxfp4 import Mxfp4
from hf_quant.codecs.nvfp4 import Nvfp4
from hf_quant.codecs.quanto import QuantoBits, QuantoBytes
from hf_quant.codecs.sinq import Sinq
from hf_quant.codecs.spqr import SpQR
from hf_quant.codecs.torchao import TorchAoFloat8, TorchAoInt4, TorchAoIntegers, TorchAoTiles
from hf_quant.codecs.vptq import Vptq
from hf_quant.errors import CalibrationNeededError, NonFiniteError, PackingError
from hf_quant.formats.ggml import PACKERS
from hf_quant.linear import product

SHAPE = (256, 128)

MADE: Mapping[str, tuple[Codec, float]] = {
    "nf4": (BitsAndBytes4Bit(quant_type="nf4"), 0.1),
    "nf4 under bfloat16": (BitsAndBytes4Bit(quant_type="nf4", storage=torch.bfloat16), 0.1),
    "nf4 twice": (BitsAndBytes4Bit(quant_type="nf4", double=True), 0.1),
    "fp4": (BitsAndBytes4Bit(quant_type="fp4"), 0.15),
    "int8": (BitsAndBytesInt8(), 0.01),
    "fp8 rows": (Fp8Row(), 0.03),
    "fp8 rows across": (Fp8Row(transposed=True), 0.03),
    "fp8 tensor": (Fp8Tensor(), 0.03),
    "fp8 tensor (1,)": (Fp8Tensor(one=(1,)), 0.03),
    "fp8 blocks": (Fp8Block(block=(128, 64)), 0.03),
    "fp8 blocks of powers": (Fp8Block(block=(1, 32), scale_format="ue8m0"), 0.03),
    "fp4 rows": (Fp4Row(), 0.13),
    "mxfp4": (Mxfp4(), 0.13),
    "mxfp4 flat": (Mxfp4(blocked=False, codes="weight_packed", scales="weight_scale"), 0.13),
    "nvfp4": (Nvfp4(), 0.11),
    "nvfp4 divided": (Nvfp4(dialect="compressed-tensors"), 0.11),
    "fp-quant nvfp4": (FPQuant(), 0.11),
    "fp-quant mxfp4": (FPQuant(forward_dtype="mxfp4", rotation=32), 0.13),
    "fp-quant quest": (FPQuant(forward_dtype="mxfp4", forward_method="quest", rotation=64), 0.2),
    "fp-quant pseudo": (FPQuant(pseudo=True, transform_init="gsr"), 0.11),
    "fp-quant master": (FPQuant(master=True, transform_init="identity"), 0.11),
    "bitnet": (BitNetPacked(), 0.6),
    "bitnet multiplied": (BitNetPacked(multiplied=True), 0.6),
    "bitnet online": (BitNetOnline(), 0.6),
    "higgs 4": (Higgs(bits=4, p=1, group=64, hadamard=128), 0.11),
    "higgs 2": (Higgs(bits=2, p=2, group=64, hadamard=128), 0.36),
    "sinq": (Sinq(shape_NK=SHAPE), 0.11),
    "sinq squares": (Sinq(shape_NK=SHAPE, square=True, bits=8), 0.01),
    "sinq nf4": (Sinq(shape_NK=SHAPE, levels="nf4", auxiliary=False), 0.11),
    "gptq": (Gptq(group_size=32), 0.1),
    "gptq second": (Gptq(bits=8, group_size=-1, zero_offset=0), 0.01),
    "gptq asymmetric": (Gptq(bits=3, group_size=64, symmetric=False), 0.3),
    "gptq 2": (Gptq(bits=2, group_size=32, symmetric=False), 0.5),
    "awq": (AwqGemm(group_size=64), 0.12),
    "awq symmetric": (AwqGemm(group_size=32, symmetric=True), 0.12),
    "awq gemv": (AwqGemv(group_size=64), 0.12),
    "quark": (
        AwqGemm(group_size=32, signed=True, names=("weight", "weight_zero_point", "weight_scale")),
        0.12,
    ),
    "eetq": (Eetq(), 0.01),
    "hqq": (Hqq(group_size=64), 0.12),
    "hqq across": (Hqq(bits=3, axis=0, group_size=64, round_zero=False), 0.25),
    "hqq as float": (Hqq(bits=2, group_size=32, as_float=True, dtype=torch.bfloat16), 0.5),
    "hqq rows": (Hqq(bits=1, group_size=0), 1.0),
    "mlx": (Mlx(bits=4, group_size=64), 0.12),
    "mlx 3": (Mlx(bits=3, group_size=32), 0.25),
    "mlx 6": (Mlx(bits=6, group_size=32, scales=torch.float32), 0.03),
    "quanto int8": (QuantoBytes(), 0.01),
    "quanto float8": (QuantoBytes(kind="float8"), 0.03),
    "quanto int4": (QuantoBits(inputs=SHAPE[1]), 0.12),
    "quanto int2": (QuantoBits(inputs=SHAPE[1], bits=2), 0.7),
    "torchao int8": (TorchAoIntegers(), 0.01),
    "torchao int4": (TorchAoIntegers(bits=4, group_size=32), 0.12),
    "torchao float8": (TorchAoFloat8(), 0.03),
    "torchao float8 tensor": (TorchAoFloat8(by_row=False), 0.03),
    "torchao int4 plain": (TorchAoInt4(group_size=32), 0.12),
    "torchao int4 tiles": (TorchAoTiles(sizes=SHAPE, group_size=32), 0.12),
    **{f"compressed {b} bits": (CompressedIntegers(bits=b, group_size=32), 2.0**-b * 2) for b in range(2, 9)},
    "compressed fields": (CompressedIntegers(bits=3, group_size=64, symmetric=False, packing="fields"), 0.3),
    "compressed zeros": (CompressedIntegers(bits=5, group_size=64, symmetric=False), 0.06),
    "compressed bytes": (CompressedIntegers(bits=8, group_size=-1, packing="bytes"), 0.01),
    "compressed bytes, zeros": (
        CompressedIntegers(bits=8, group_size=-1, packing="bytes", symmetric=False),
        0.01,
    ),
    "compressed whole": (CompressedIntegers(bits=8, group_size=0, packing="bytes"), 0.02),
    "compressed whole, packed": (CompressedIntegers(bits=4, group_size=0, symmetric=False), 0.3),
    "compressed float8": (CompressedFloats(), 0.03),
    "compressed float8 rows": (CompressedFloats(strategy="channel"), 0.03),
    "compressed float8 blocks": (CompressedFloats(strategy="block", block=(64, 64)), 0.03),
    "gemma 8": (GemmaRows(bits=8), 0.01),
    "gemma 4": (GemmaRows(), 0.13),
    "gemma 2": (GemmaRows(bits=2), 0.99),
    "gemma embedding": (GemmaRows(embedding=True, scales=4), 0.12),
    **{kind.name: (Ggml(kind=kind), 1.0 if kind.name.startswith("TQ") else 0.13) for kind in PACKERS},
}
"""Formats that are made without data, and how much of a normal weight they may lose."""

ALONE = ("higgs", "sinq", "nf4 twice", "bitnet online", "torchao int4 tiles")
STACKS = [name for name in MADE if not name.startswith(ALONE)]


def wide(name: str) -> tuple[int, int]:
    """A shape that the format's pieces fit in."""
    if name in ("TQ1_0", "TQ2_0"):
        return 64, 256
    return (512, 128) if name.startswith("higgs") else SHAPE


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def headers(parts: Mapping[str, Tensor]) -> dict[str, Stored]:
    return {
        name: Stored(tuple(part.shape), part.dtype, lambda part=part: part)  # type: ignore[misc] # its own default
        for name, part in parts.items()
    }


@pytest.mark.parametrize("name", MADE)
def test_parts_are_as_described_and_close_to_the_weight(name: str) -> None:
    codec, loss = MADE[name]
    weight = normal(*wide(name))
    parts = codec.quantize(weight)
    specs = codec.specs(tuple(weight.shape))
    written = {part.name for part in codec.parts if part.written}
    assert parts.keys() == written
    assert {n: tuple(p.shape) for n, p in parts.items()} == {n: specs[n].shape for n in written}
    free = {"weight"} if isinstance(codec, BitNetOnline) else set()  # keeps the model's own type
    assert {n: p.dtype for n, p in parts.items() if n not in free} == {
        n: specs[n].dtype for n in written - free
    }
    assert all(p.is_contiguous() for p in parts.values())
    assert codec.shape(headers(parts)) == tuple(weight.shape)
    again = codec.dequantize(parts, tuple(weight.shape), torch.float32)
    assert again.shape == weight.shape
    assert float((again - weight).norm() / weight.norm()) < loss


@pytest.mark.parametrize("name", MADE)
def test_numbers_are_rounded_to_the_asked_dtype_once(name: str) -> None:
    codec, _ = MADE[name]
    shape = wide(name)
    parts = codec.quantize(normal(*shape))
    exact = codec.dequantize(parts, shape, torch.float32)
    torch.testing.assert_close(
        codec.dequantize(parts, shape, torch.bfloat16), exact.bfloat16(), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", MADE)
def test_the_gradient_is_that_of_the_dequantized_weight(name: str) -> None:
    codec, _ = MADE[name]
    shape = wide(name)
    parts = codec.quantize(normal(*shape))
    x = normal(3, shape[1], seed=1).requires_grad_()
    y = product(x, codec, parts, shape)
    grad = normal(3, shape[0], seed=2)
    y.backward(grad)
    weight = codec.dequantize(parts, shape, torch.float32)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, grad @ weight)
    if not isinstance(codec, OwnProduct):
        torch.testing.assert_close(y.detach(), x.detach() @ weight.T)


@pytest.mark.parametrize("name", MADE)
def test_rows_can_be_cut_where_the_codec_says(name: str) -> None:
    codec, _ = MADE[name]
    N, K = wide(name)
    rows = codec.rows((N, K))
    if rows is None:
        return
    parts = codec.quantize(normal(N, K))
    whole = codec.dequantize(parts, (N, K), torch.float32)
    start = next(n for n in range(N // 2, N) if all(n % where.per == 0 for where in rows.values()))
    stop = N
    cut = dict(parts)
    for part, where in rows.items():
        if part in parts:
            each = where.each
            piece = parts[part].narrow(
                where.dim, start * each // where.per, -(-(stop - start) * each // where.per)
            )
            cut[part] = piece.contiguous()
    lower = codec.dequantize(cut, (stop - start, K), torch.float32)
    torch.testing.assert_close(lower, whole[start:stop], rtol=0, atol=0)


@pytest.mark.parametrize("name", STACKS)
def test_stacked_weights_are_packed_one_by_one(name: str) -> None:
    codec, _ = MADE[name]
    N, K = wide(name)
    single = [codec.quantize(normal(N, K, seed=i)) for i in range(2)]
    stacked = codec.quantize(torch.stack([normal(N, K, seed=i) for i in range(2)]))
    specs = codec.specs((2, N, K))
    for part, value in stacked.items():
        assert tuple(value.shape) == specs[part].shape
        if part != "quant_state":  # spells out its own shape
            expected = torch.stack([one[part] for one in single])
            assert torch.equal(value.view(torch.uint8), expected.view(torch.uint8)), part
    both = codec.dequantize(stacked, (2, N, K), torch.float32)
    assert torch.equal(both[1], codec.dequantize(single[1], (N, K), torch.float32))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", MADE)
def test_weights_that_are_no_numbers_are_refused(name: str, bad: float) -> None:
    codec, _ = MADE[name]
    weight = normal(*wide(name))
    weight[5, 7] = bad
    with pytest.raises(NonFiniteError, match="NaN or infin"):
        codec.quantize(weight) if not name.endswith(("master", "online")) else codec.dequantize(
            codec.quantize(weight), wide(name), torch.float32
        )


@pytest.mark.parametrize("name", MADE)
def test_zeros_stay_zeros(name: str) -> None:
    codec, _ = MADE[name]
    shape = wide(name)
    parts = codec.quantize(torch.zeros(shape))
    assert torch.equal(codec.dequantize(parts, shape, torch.float32), torch.zeros(shape))


@pytest.mark.parametrize(
    ("codec", "shape"),
    [
        (Mxfp4(), (4, 48)),
        (Nvfp4(), (4, 24)),
        (Fp4Row(), (4, 16)),
        (FPQuant(rotation=64), (4, 32)),
        (BitNetPacked(), (6, 8)),
        (Higgs(hadamard=512), (128, 256)),
        (Higgs(hadamard=64, group=64), (96, 64)),
        (Higgs(), (2, 128, 512)),
        (Sinq(shape_NK=(8, 100)), (8, 100)),
        (Sinq(shape_NK=(8, 64)), (8, 64)),
        (Sinq(shape_NK=(100, 64), square=True, auxiliary=False), (100, 64)),
        (Ggml(kind=GgmlType.Q4_0), (4, 40)),
        (Aqlm(inputs=8), (4, 12)),
        (Aqlm(outputs=2), (3, 16)),
        (BitsAndBytes4Bit(), (2, 3, 5)),
        (BitsAndBytes4Bit(double=True), (2, 64, 64)),
    ],
    ids=str,
)
def test_sizes_that_do_not_divide_are_refused(codec: Codec, shape: tuple[int, ...]) -> None:
    with pytest.raises(PackingError, match=r"divide|fill|matrices"):
        codec.specs(shape)


@pytest.mark.parametrize(
    "codec",
    [
        Aqlm(),
        Vptq(shape_NK=(8, 8), vector=2, centroids=4, group=8),
        SpQR(shape_NK=(16, 16), outliers=0, row_offsets=17),
        Ggml(kind=GgmlType.Q4_K),
    ],
    ids=lambda codec: type(codec).__name__,
)
def test_formats_that_need_data_or_a_search_say_so(codec: Codec) -> None:
    with pytest.raises(CalibrationNeededError, match="fix: "):
        codec.quantize(torch.ones(16, 256))


@pytest.mark.parametrize(
    ("codec", "stored"),
    [
        (Fp8Row(), {"weight": ((4, 4), torch.float32)}),
        (
            Fp8Block(),
            {"weight": ((256, 256), torch.float8_e4m3fn), "weight_scale_inv": ((4, 2), torch.float32)},
        ),
        (BitNetPacked(), {"weight": ((4, 4), torch.bfloat16)}),
        (Aqlm(bits=8), {"codes": ((4, 2, 1), torch.int8), "codebooks": ((1, 16, 1, 8), torch.float16)}),
        (Higgs(), {"weight": ((32, 512), torch.int16), "scales": ((128, 4), torch.float16)}),
        (Ggml(kind=GgmlType.Q4_0), {"blocks": ((4, 20), torch.uint8)}),
        (SpQR(shape_NK=(16, 16), outliers=0, row_offsets=17), {"dense_weights": ((17,), torch.int64)}),
        (Vptq(shape_NK=(8, 8), vector=2, centroids=4, group=8), {"perm": ((9,), torch.int16)}),
        (Sinq(shape_NK=(32, 64)), {"W_q": ((3, 64), torch.uint8)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tensors_that_cannot_be_one_weight_are_refused(
    codec: Codec, stored: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
) -> None:
    parts = {name: Stored(shape, dtype, lambda: torch.zeros(0)) for name, (shape, dtype) in stored.items()}
    with pytest.raises(PackingError, match="fix: "):
        codec.shape(parts)


def test_formats_are_values() -> None:
    for name, (codec, _) in MADE.items():
        assert dataclasses.is_dataclass(type(codec)), name
        assert {codec: name}[codec] == name
