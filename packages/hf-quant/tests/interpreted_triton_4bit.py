"""The kernel for 4-bit weights, run by `test_triton_four_bits.py` in a process of triton's interpreter."""

import pytest
import torch

from hf_quant.codecs.bitsandbytes_4bit import BitsAndBytes4Bit
from hf_quant.codecs.mxfp4 import Mxfp4
from hf_quant.formats import blockwise4, e2m1
from hf_quant.kernels import triton_4bit as kernel


def inputs(rows: int, K: int) -> torch.Tensor:
    return torch.randn(rows, K, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("rows", [1, 5, 17])
@pytest.mark.parametrize(("N", "K"), [(32, 128), (40, 192)])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_levels_in_blocks_of_64(kind: blockwise4.QuantType, N: int, K: int, rows: int) -> None:
    codec = BitsAndBytes4Bit(quant_type=kind)
    parts = codec.quantize(torch.randn(N, K, generator=torch.Generator().manual_seed(0)))
    x = inputs(rows, K)
    y = kernel.multiply(
        x,
        parts["weight"].view(N, K // 2),
        parts["absmax"].view(N, K // 64),
        parts["quant_map"],
        low_first=False,
    )
    expected = x @ codec.dequantize(parts, (N, K), torch.float32).T
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 20])
def test_small_floats_in_groups_of_32(rows: int) -> None:
    N, K, codec = 48, 96, Mxfp4()
    parts = codec.quantize(torch.randn(N, K, generator=torch.Generator().manual_seed(0)))
    x = inputs(rows, K)
    y = kernel.multiply(
        x, parts["blocks"].flatten(-2), e2m1.e8m0_scales(parts["scales"]), e2m1.levels(), low_first=True
    )
    expected = x @ codec.dequantize(parts, (N, K), torch.float32).T
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("group", [16, 64, 128])
def test_integers_with_zeros(group: int) -> None:
    N, K, g = 33, 128, torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (N, K), generator=g)
    scale, zero = (
        torch.rand(N, K // group, generator=g),
        torch.randint(0, 16, (N, K // group), generator=g).float(),
    )
    packed = (codes[:, 0::2] | (codes[:, 1::2] << 4)).to(torch.uint8)
    x = inputs(3, K)
    y = kernel.multiply(x, packed, scale, torch.arange(16.0), zero=zero, low_first=True)
    weight = (codes - zero.repeat_interleave(group, 1)) * scale.repeat_interleave(group, 1)
    torch.testing.assert_close(y, x @ weight.T, rtol=1e-5, atol=1e-4)


def test_a_kernel_serves_its_own_device_only() -> None:
    product = kernel.TritonFourBitProduct(
        torch.zeros(32, 32, dtype=torch.uint8), torch.ones(32, 1), torch.arange(16.0), low_first=True
    )
    assert product.serves(torch.zeros(1, 64, dtype=torch.bfloat16))
    assert not product.serves(torch.zeros(1, 64))
    assert not product.serves(torch.zeros(65, 64, dtype=torch.bfloat16))
    assert not product.serves(torch.zeros(1, 64, dtype=torch.bfloat16, requires_grad=True))
    assert product.product(torch.ones(2, 3, 64, dtype=torch.float16)).shape == (2, 3, 32)


def test_nothing_is_chosen_off_cuda() -> None:
    codec = Mxfp4()
    parts = codec.quantize(torch.ones(32, 64))
    assert codec.kernel(parts, (32, 64), torch.bfloat16) is None
