"""Small floats against their definitions: every code, every tie, every way a scale is written."""

import math

import pytest
import torch
from torch import Tensor

from hf_quant.codecs.bitnet import training_product
from hf_quant.codecs.fp8 import Fp8Block, Fp8Row, Fp8Tensor
from hf_quant.codecs.fp_quant import FPQuant
from hf_quant.formats import e2m1, fp8, hadamard, ternary
from hf_quant.formats.normal_grids import normal_grid


def e2m1_value(code: int) -> float:
    """OCP MX 1.0, section 5.3.3: sign, two bits of exponent with bias 1, one of mantissa."""
    exponent, mantissa = (code >> 1) & 3, code & 1
    magnitude = 0.5 * mantissa if exponent == 0 else 2.0 ** (exponent - 1) * (1 + 0.5 * mantissa)
    return math.copysign(magnitude, -1.0 if code & 8 else 1.0)


def nearest_e2m1(x: float) -> int:
    """Round to nearest, ties to the even code, magnitudes over 6 to 6."""
    codes = range(8, 16) if math.copysign(1.0, x) < 0 else range(8)
    return min(codes, key=lambda code: (abs(e2m1_value(code) - max(-6.0, min(6.0, x))), code & 1))


def test_four_bit_floats_are_those_of_the_specification() -> None:
    assert e2m1.levels().tolist() == [e2m1_value(code) for code in range(16)]
    x = torch.cat((torch.arange(-7, 7.01, 0.125), torch.tensor([-0.0, 0.0, -1e-9, 100.0])))
    packed = e2m1.pack(x[: len(x) // 2 * 2])
    codes = torch.stack((packed & 15, packed >> 4), dim=1).flatten().tolist()
    assert codes == [nearest_e2m1(v) for v in x.tolist()[: len(codes)]]
    assert e2m1.unpack(packed).tolist() == [e2m1_value(code) for code in codes]


def test_a_published_mxfp4_example() -> None:
    packed = torch.tensor([[0x21, 0xF7]], dtype=torch.uint8)
    scales = torch.tensor([[128]], dtype=torch.uint8)
    assert e2m1.dequantize_mx(packed, scales, torch.float32).tolist() == [[1.0, 2.0, 12.0, -12.0]]


@pytest.mark.parametrize("stored", [torch.uint8, torch.float8_e8m0fnu])
def test_power_of_two_scales(stored: torch.dtype) -> None:
    exponents = torch.arange(255, dtype=torch.uint8)
    expected = [math.ldexp(1.0, int(e) - 127) for e in exponents]
    assert e2m1.e8m0_scales(exponents.view(stored)).tolist() == expected
    assert fp8.scale_values(exponents.view(stored)).tolist() == expected


def test_mxfp4_scales_are_the_largest_power_of_two_over_four() -> None:
    peaks = torch.tensor([1.0, 3.999, 4.0, 6.0, 7.9, 8.0, 1e-30, 2.0**-120])
    weight = torch.zeros(len(peaks), 32)
    weight[:, 5] = peaks
    _, scales = e2m1.quantize_mx(weight)
    assert scales.flatten().tolist() == [math.floor(math.log2(p)) - 2 + 127 for p in peaks.tolist()]


def test_nvfp4_scales_are_in_e4m3_and_share_one_number() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    codes, scales, whole = e2m1.quantize_nv(weight)
    assert float(whole) == pytest.approx(float(weight.abs().max()) / (6 * 448))
    for i in range(4):
        for j in range(4):
            block = weight[i, 16 * j : 16 * j + 16]
            expected = (block.abs().max() / 6 / whole).to(torch.float8_e4m3fn)
            assert float(scales[i, j]) == float(expected)
            scaled = (block / (float(expected) * whole)).tolist()
            packed = codes[i, 8 * j : 8 * j + 8]
            found = torch.stack((packed & 15, packed >> 4), dim=1).flatten().tolist()
            assert found == [nearest_e2m1(v) for v in scaled]


def test_every_eight_bit_float_is_decoded() -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        torch.testing.assert_close(
            fp8.decode(codes.view(dtype)), codes.view(dtype).float(), equal_nan=True, rtol=0, atol=0
        )


@pytest.mark.parametrize("shape", [(128, 128), (200, 300), (1, 64), (130, 1)])
def test_block_scales_cover_started_blocks(shape: tuple[int, int]) -> None:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    codes, scale = fp8.quantize_blocks(weight, (128, 64))
    assert scale.shape == (-(-shape[0] // 128), -(-shape[1] // 64))
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            block = (slice(128 * i, 128 * i + 128), slice(64 * j, 64 * j + 64))
            assert float(scale[i, j]) == pytest.approx(float(weight[block].abs().max()) / 448)
            expected = (weight[block] / scale[i, j]).to(torch.float8_e4m3fn).float() * scale[i, j]
            again = fp8.dequantize(codes, scale, (128, 64), torch.float32)[block]
            torch.testing.assert_close(again, expected, rtol=0, atol=0)


def test_values_beyond_the_largest_float_become_the_largest() -> None:
    x = torch.tensor([1e6, -1e6, 447.0])
    assert fp8.with_scale(x, torch.tensor(1.0)).float().tolist() == [448.0, -448.0, 448.0]


def test_an_upper_bound_caps_scales_of_activations() -> None:
    x = torch.tensor([[1.0, 896.0], [1.0, 448.0]])
    codes, scale = fp8.quantize_activations(x, upper_bound=448.0)
    assert scale.flatten().tolist() == [1.0, 1.0]
    assert codes.float().tolist() == [[1.0, 448.0], [1.0, 448.0]]


@pytest.mark.parametrize("scales", ["numbers", "rows", "mixed"])
def test_the_product_of_eight_bit_floats(scales: str) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(5, 32, generator=generator).to(torch.float8_e4m3fn)
    b = torch.randn(16, 32, generator=generator).to(torch.float8_e4m3fn)
    a_scale = torch.rand(5, 1, generator=generator) if scales != "numbers" else torch.tensor(0.3)
    b_scale = torch.rand(16, 1, generator=generator) if scales == "rows" else torch.tensor([0.5])
    y = fp8.multiply(a, a_scale, b, b_scale, torch.float32)
    expected = (a.float() * a_scale) @ (b.float() * b_scale).T
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_a_cpu_has_no_product_of_its_own() -> None:
    assert not fp8.has_product(torch.zeros(16, 16, dtype=torch.float8_e4m3fn), torch.bfloat16)


@pytest.mark.parametrize(
    "codec",
    [Fp8Row(activations="static"), Fp8Tensor(activations="static"), Fp8Block(block=(4, 4), static=True)],
    ids=lambda codec: type(codec).__name__,
)
def test_scales_of_activations_are_kept_and_never_made(codec: Fp8Row | Fp8Tensor | Fp8Block) -> None:
    names = {part.name: part for part in codec.parts}
    assert not names["input_scale"].written
    assert "input_scale" not in codec.quantize(torch.ones(4, 4))


@pytest.mark.parametrize("size", [1, 2, 16, 64])
def test_rotations_are_hadamard_matrices(size: int) -> None:
    matrix = hadamard.matrix(size, torch.float64)
    signs = (matrix * math.sqrt(size)).round()
    assert bool((signs.abs() == 1).all())
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64))
    for i in range(size):
        for j in range(size):
            assert float(signs[i, j]) == (-1) ** (i & j).bit_count()
    x = torch.randn(3, 2 * size, generator=torch.Generator().manual_seed(0))
    expected = (x.view(3, 2, size) @ matrix.float()).view(3, -1)
    torch.testing.assert_close(hadamard.rotate(x, size), expected)
    ordered = hadamard.by_sign_changes(size)
    changes = [int((column[1:] != column[:-1]).sum()) for column in ordered.sign().T]
    assert changes == list(range(size))


@pytest.mark.parametrize(("method", "headroom"), [("abs_max", 3.0), ("quest", 1.0)])
def test_fp_quant_rounds_in_the_rotated_space(method: str, headroom: float) -> None:
    codec = FPQuant(forward_dtype="mxfp4", forward_method=method, rotation=32)  # type: ignore[arg-type] # from a list
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    parts = codec.quantize(weight)
    assert float(parts["weight_global_scale"]) == headroom
    rotated = hadamard.rotate(weight, 32)
    matrix = parts["forward_hadamard_matrix"].float()
    for row in range(4):
        for group in range(2):
            block = (weight[row, 32 * group : 32 * group + 32] @ matrix).tolist()
            torch.testing.assert_close(
                torch.tensor(block), rotated[row, 32 * group : 32 * group + 32], rtol=0.02, atol=0.02
            )
            mean = sum(block) / 32
            spread = math.sqrt(sum(v * v for v in block) / 32 - mean * mean)
            peak = max(map(abs, block)) if method == "abs_max" else 2.92247856 / 6 * spread + 1e-8
            exponent = math.floor(math.log2(peak))
            assert int(parts["scales"][row, group]) == exponent + 127
            scale = 2.0**exponent / headroom
            packed = parts["qweight"][row, 16 * group : 16 * group + 16]
            codes = torch.stack((packed & 15, packed >> 4), dim=1).flatten().tolist()
            assert codes == [nearest_e2m1(v / scale) for v in block]


def test_ternary_weights_of_a_published_column() -> None:
    column = torch.tensor([1, 0, -1, 1, -1, 0, 1, 0])[:, None]
    packed = ternary.pack(column)
    assert packed.flatten().tolist() == [130, 89]
    assert torch.equal(ternary.unpack(packed), column)


def test_training_rounds_both_sides_and_passes_gradients_through() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, generator=generator, requires_grad=True)
    weight = torch.randn(4, 8, generator=generator, requires_grad=True)
    y = training_product(x, weight, None)
    mean = float(weight.detach().abs().mean())
    rounded_weight = (weight.detach() / mean).round().clamp(-1, 1) * mean
    peak = x.detach().abs().amax(1, keepdim=True)
    rounded_x = (x.detach() * 127 / peak).round() * peak / 127
    torch.testing.assert_close(y.detach(), rounded_x @ rounded_weight.T)
    y.sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(x.grad, rounded_weight.sum(0).expand(3, 8))
    torch.testing.assert_close(weight.grad, rounded_x.sum(0).expand(4, 8))


@pytest.mark.parametrize(
    ("dimensions", "points", "loss"), [(1, 4, 0.1175), (1, 16, 0.0095), (2, 16, 0.108), (2, 64, 0.03)]
)
def test_grids_fit_a_normal_distribution(dimensions: int, points: int, loss: float) -> None:
    """Losses per number: Max (1960) along a line; in the plane, what the best published grids reach."""
    grid = normal_grid(dimensions, points)
    assert grid.shape == (points, dimensions)
    x: Tensor = torch.randn(200_000, dimensions, generator=torch.Generator().manual_seed(0))
    nearest = grid[(x @ grid.T - grid.square().sum(1) / 2).argmax(1)]
    assert float((x - nearest).square().mean()) < loss * 1.02
