"""NF4 and FP4 as bitsandbytes packs them, against its definition written out number by number."""

import json

import pytest
import torch

from hf_quant.codec import Stored
from hf_quant.codecs.bitsandbytes_4bit import BitsAndBytes4Bit
from hf_quant.codecs.bitsandbytes_int8 import BitsAndBytesInt8
from hf_quant.errors import PackingError
from hf_quant.formats import blockwise4 as b4
from hf_quant.formats.levels import Nearest


def defined(block: list[float], quant_type: b4.QuantType) -> tuple[list[int], float]:
    """Codes of one block of at most 64 numbers, and its scale."""
    levels = b4.LEVELS[quant_type]
    peak = max(abs(x) for x in block)
    codes = []
    for x in block:
        scaled = float(torch.tensor(x) * (1 / torch.tensor(peak))) if peak else 0.0
        distance = [abs(scaled - float(torch.tensor(level))) for level in levels]
        codes.append(min(range(16), key=lambda code: (distance[code], levels[code])))
    return codes, peak


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize("n", [64, 128, 70, 1, 63])
def test_codes_are_the_nearest_levels(quant_type: b4.QuantType, n: int) -> None:
    x = torch.randn(n, generator=torch.Generator().manual_seed(n))
    packed, absmax = b4.quantize(x, quant_type)
    codes = torch.stack((packed[:, 0] >> 4, packed[:, 0] & 15), dim=1).flatten()[:n].tolist()
    values = [b4.LEVELS[quant_type][code] for code in codes]
    expected: list[float] = []
    peaks = []
    for start in range(0, n, 64):
        block_codes, peak = defined(x[start : start + 64].tolist(), quant_type)
        expected += [b4.LEVELS[quant_type][code] for code in block_codes]
        peaks.append(peak)
    assert values == expected
    assert absmax.tolist() == peaks
    again = b4.dequantize(packed, absmax, b4.level_values(quant_type), (n,), torch.float32)
    by_hand = torch.tensor(expected) * torch.tensor(peaks).repeat_interleave(64)[:n]
    assert torch.equal(again, by_hand)


def test_a_published_example() -> None:
    block = torch.tensor([0.5, -1.0, 2.0] + 61 * [0.0])
    packed, absmax = b4.quantize(block, "nf4")
    assert bytes(packed.flatten().tolist())[:4] == bytes.fromhex("a2f77777")
    assert absmax.tolist() == [2.0]
    assert bytes(b4.quantize(block, "fp4")[0].flatten().tolist())[:3] == bytes.fromhex("7d3000")


def test_scales_of_scales_follow_their_definition() -> None:
    absmax = torch.rand(300, generator=torch.Generator().manual_seed(0)) + 1
    codes, scale, offset = b4.quantize_scales(absmax)
    assert offset == float(absmax.mean())
    levels = b4.nested_levels()
    assert len(levels) == 256
    assert bool((levels.diff() > 0).all())
    assert float(levels[-1]) == 1.0
    for i in (0, 17, 255, 256, 299):
        block = absmax[i // 256 * 256 : (i // 256 + 1) * 256] - offset
        distance = (levels - (absmax[i] - offset) / block.abs().max()).abs()
        assert float(distance[int(codes[i])]) == pytest.approx(float(distance.min()), abs=1e-7)
    again = b4.dequantize_scales(codes, scale, levels, offset)
    assert float((again - absmax).abs().max()) < 0.01


def test_the_nearest_level_is_found_without_a_search() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (2, 7, 16, 100):
        levels = torch.rand(count, generator=generator)
        levels += torch.arange(count)  # apart from each other by a random amount
        nearest = Nearest.of_levels(levels)
        x = torch.rand(5000, generator=generator) * (count + 2) - 1
        expected = (x[:, None] - levels).abs().argmin(1)
        assert torch.equal(nearest.code(x.clone()).long(), expected)
        middle = (levels[1:] + levels[:-1]) / 2
        assert torch.equal(nearest.code(middle.clone()).long(), torch.arange(count - 1))


def test_the_description_gives_the_shape_and_survives_a_change_of_it() -> None:
    codec = BitsAndBytes4Bit()
    parts = codec.quantize(torch.ones(128, 64, dtype=torch.bfloat16))
    state = json.loads(bytes(parts["quant_state"].tolist()))
    assert state == {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [128, 64]}
    half = codec.restated(parts, (64, 64))["quant_state"]
    assert json.loads(bytes(half.tolist())) == {**state, "shape": [64, 64]}
    whole = codec.restated({"quant_state": half}, (128, 64))["quant_state"]
    assert torch.equal(whole, parts["quant_state"])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"shape": [4, "4"], "blocksize": 64}', '{"shape": [4, 4], "blocksize": 128}']
)
def test_a_broken_description_is_refused(text: str) -> None:
    state = torch.tensor(list(text.encode()), dtype=torch.uint8)
    stored = {
        "quant_state": Stored((len(text),), torch.uint8, lambda: state),
        "weight": Stored((8, 1), torch.uint8, lambda: torch.zeros(8, 1)),
    }
    with pytest.raises(PackingError, match="quant_state"):
        BitsAndBytes4Bit().shape(stored)


def test_too_few_bytes_are_refused() -> None:
    codec = BitsAndBytes4Bit()
    parts = codec.quantize(torch.ones(64, 64))
    stored = {
        "quant_state": Stored((256,), torch.uint8, lambda: parts["quant_state"]),
        "weight": Stored((2047, 1), torch.uint8, lambda: parts["weight"]),
    }
    with pytest.raises(PackingError, match="too few"):
        codec.shape(stored)


def test_scales_saved_across_are_read_as_they_were_meant() -> None:
    codec = BitsAndBytes4Bit()
    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(0))
    parts = codec.quantize(weight)
    across = BitsAndBytes4Bit(scales_across=True)
    broken = {**parts, "absmax": parts["absmax"].view(32, 2).T.contiguous().bfloat16()}
    assert broken["absmax"].shape == across.specs((32, 128))["absmax"].shape
    again = across.dequantize(broken, (32, 128), torch.float32)
    expected = codec.dequantize(
        {**parts, "absmax": parts["absmax"].bfloat16().float()}, (32, 128), torch.float32
    )
    assert torch.equal(again, expected)


def llm_int8(x: torch.Tensor, weight: torch.Tensor, peak: torch.Tensor, threshold: float) -> torch.Tensor:
    """The product row by row and column by column, as the paper describes it."""
    half = x.half().float()
    outlier = (half.abs() >= threshold).any(0)
    kept = torch.where(half.abs() >= threshold, 0.0, half)
    y = torch.zeros(len(x), len(weight))
    for i, row in enumerate(kept):
        top = row.abs().max()
        codes = torch.where(outlier, 0.0, (row * 127 / top).round())
        y[i] = (weight.float() @ codes) * top * peak / 127**2
    return y + x[:, outlier] @ (weight.float() * peak[:, None] / 127)[:, outlier].T


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("threshold", [6.0, 0.0])
def test_outliers_are_multiplied_apart(rows: int, threshold: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    codec = BitsAndBytesInt8(threshold=threshold)
    parts = codec.quantize(torch.randn(8, 32, generator=generator))
    x = torch.randn(rows, 32, generator=generator)
    x[0, 3] = 50.0
    y = codec.product(x, parts, (8, 32))
    expected = llm_int8(x, parts["weight"], parts["SCB"], threshold or torch.inf)
    torch.testing.assert_close(y, expected, rtol=2e-3, atol=2e-3)
    exact = x @ codec.dequantize(parts, (8, 32), torch.float32).T
    assert float((y - exact).abs().max()) < (0.1 if threshold else 1.5)


def test_layouts_of_one_graphics_card_are_refused() -> None:
    stored = {
        "weight": Stored((4, 4), torch.int8, lambda: torch.zeros(4, 4)),
        "weight_format": Stored((), torch.uint8, lambda: torch.tensor(2, dtype=torch.uint8)),
    }
    with pytest.raises(PackingError, match="weight_format"):
        BitsAndBytesInt8().shape(stored)
