"""AQLM, VPTQ, SpQR, HIGGS, SINQ and GGUF blocks against their layouts written out as loops."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hf_quant.codecs.aqlm import Aqlm
from hf_quant.codecs.higgs import Higgs, pack, template_of_tile, tile_of_template, unpack
from hf_quant.codecs.sinq import Sinq, pack_rows, unpack_rows
from hf_quant.codecs.spqr import SpQR
from hf_quant.codecs.vptq import Vptq, unpack_bits
from hf_quant.formats.sinkhorn import balanced, kurtosis


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("outputs", "inputs", "books", "bits"), [(1, 8, 1, 16), (1, 8, 2, 8), (2, 4, 3, 6)])
def test_aqlm_blocks_are_sums_of_entries(outputs: int, inputs: int, books: int, bits: int) -> None:
    N, K, g = 8, 16, draws()
    codec = Aqlm(outputs=outputs, inputs=inputs, codebooks=books, bits=bits)
    codes = torch.randint(0, 2**bits, (N // outputs, K // inputs, books), generator=g)
    codebooks = torch.randn(books, 2**bits, outputs, inputs, generator=g).half()
    scales = torch.rand(N // outputs, 1, 1, 1, generator=g).half()
    signed = torch.where(codes >= 2 ** (bits - 1), codes - 2**bits, codes)
    expected = torch.zeros(N, K)
    for n in range(N):
        for k in range(K):
            chosen = codes[n // outputs, k // inputs]
            total = sum(float(codebooks[c, chosen[c], n % outputs, k % inputs]) for c in range(books))
            expected[n, k] = total * float(scales[n // outputs, 0, 0, 0])
    parts = {
        "codes": signed.to(codec.specs((N, K))["codes"].dtype),
        "codebooks": codebooks,
        "scales": scales,
    }
    torch.testing.assert_close(codec.dequantize(parts, (N, K), torch.float32), expected)
    stacked = {name: torch.stack((part, part)) for name, part in parts.items()}
    both = codec.dequantize(stacked, (2, N, K), torch.float32)
    torch.testing.assert_close(both, expected.expand(2, N, K))


def stream(values: Sequence[int], bits: int) -> list[int]:
    """Fields one after the other, lowest bits first, in signed words of 32 bits."""
    number = sum(value << (bits * i) for i, value in enumerate(values))
    words = [(number >> (32 * i)) & 0xFFFFFFFF for i in range(-(-bits * len(values) // 32))]
    return [word - (1 << 32) if word >= 1 << 31 else word for word in words]


@pytest.mark.parametrize("bits", [1, 3, 8, 12, 19, 24, 32])
def test_fields_cross_words(bits: int) -> None:
    values = torch.randint(0, 2**bits, (11,), generator=draws(bits)).tolist()
    packed = torch.tensor([stream(values, bits)], dtype=torch.int32)
    assert unpack_bits(packed, bits, 11).tolist() == [values]


@pytest.mark.parametrize(
    ("N", "K", "vector", "centroids", "residual", "groups", "outliers"),
    [(8, 6, 2, 16, 8, 1, 0), (7, 12, 3, 16, 64, 2, 0), (8, 10, 4, 8, 0, 1, 2)],
)
def test_vptq_vectors_run_along_outputs(
    N: int, K: int, vector: int, centroids: int, residual: int, groups: int, outliers: int
) -> None:
    g, group = draws(), (K - outliers) // groups
    blocks, bits, more = -(-N // vector), (centroids - 1).bit_length(), (max(residual, 1) - 1).bit_length()
    main = torch.randint(0, centroids, (groups, blocks, group), generator=g)
    rest = torch.randint(0, max(residual, 1), (groups, blocks, group), generator=g)
    fields = main | (rest << bits)
    indices = [[stream(row.tolist(), bits + more) for row in part] for part in fields]
    table, second = (
        torch.randn(groups, centroids, vector, generator=g),
        torch.randn(groups, max(residual, 1), vector, generator=g),
    )
    few, few_table = (
        torch.randint(0, 32, (1, -(-N // 2), max(outliers, 1)), generator=g),
        torch.randn(32, 2, generator=g),
    )
    order = torch.randperm(K, generator=g)
    scale, bias = torch.rand(K, generator=g), torch.randn(K, generator=g)
    expected = torch.zeros(N, K)
    for n in range(N):
        for place in range(K):
            if place < outliers:
                value = float(few_table[few[0, n // 2, place], n % 2])
            else:
                part, i = divmod(place - outliers, group)
                value = float(table[part, main[part, n // vector, i], n % vector])
                if residual:
                    value += float(second[part, rest[part, n // vector, i], n % vector])
            k = int(order[place])
            expected[n, k] = value * float(scale[k]) + float(bias[k])
    codec = Vptq(
        shape_NK=(N, K),
        vector=vector,
        centroids=centroids,
        residual=residual,
        groups=groups,
        group=group,
        outliers=outliers,
        outlier_vector=2 if outliers else 0,
        outlier_centroids=32 if outliers else 0,
    )
    parts: dict[str, Tensor] = {
        "indices": torch.tensor(indices, dtype=torch.int32),
        "centroids": table.view(groups, -1),
        "res_centroids": second.view(groups, -1),
        "outlier_indices": few.to(torch.int16),
        "outlier_centroids": few_table.view(1, -1),
        "perm": order.to(torch.int16),
        "weight_scale": scale,
        "weight_bias": bias,
    }
    mine = {part.name: parts[part.name] for part in codec.parts}
    assert {n: tuple(p.shape) for n, p in mine.items()} == {n: codec.specs((N, K))[n].shape for n in mine}
    torch.testing.assert_close(codec.dequantize(mine, (N, K), torch.float32), expected)


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("permuted", [False, True])
@pytest.mark.parametrize(("N", "K"), [(32, 48), (16, 32)])
def test_spqr_tiles_and_outliers(N: int, K: int, permuted: bool, in_turn: bool) -> None:
    g, words, dense = draws(), [], torch.zeros(N, K, dtype=torch.float16)
    for top in range(0, N, 16):
        for left in range(0, K, 16):
            halves = torch.rand(4, generator=g).half()
            second = [int(b) for b in halves.view(torch.uint8)]
            scale_scale, zero_scale, scale_zero, zero_zero = halves
            for k in range(16):
                ws, wz = torch.randint(0, 8, (2,), generator=g).tolist()
                weights = torch.randint(0, 8, (16,), generator=g).tolist()
                word = ws | (wz << 3) | sum(w << (6 + 3 * i) for i, w in enumerate(weights))
                word |= second[k // 2] << 54
                words.append(word)
                scale = scale_scale * (torch.tensor(ws).half() - scale_zero)
                zero = zero_scale * (torch.tensor(wz).half() - zero_zero)
                for i, w in enumerate(weights):
                    dense[top + k, left + i] = scale * (torch.tensor(w).half() - zero)
    outliers = {(0, 3): 5.0, (0, 7): -2.5, (5, K - 1): 1.5, (N - 1, 0): 3.0}
    wide = dense.float()
    for (row, column), value in outliers.items():
        wide[row, column] += value

    def entry(column: int, value: float) -> int:
        bits = int(torch.tensor(value).half().view(torch.int16)) & 0xFFFF
        number = column | (bits << 16)
        return number - (1 << 32) if number >= 1 << 31 else number

    rows = [[(c, v) for (r, c), v in outliers.items() if r == row] for row in range(N)]
    listed, offsets = [], [0]
    for start in range(0, N, 16 if in_turn else 1):
        some = rows[start : start + 16] if in_turn else [rows[start]]
        for i in range(max(map(len, some))):
            listed += [entry(*row[i]) if i < len(row) else 0 for row in some]
        offsets.append(len(listed))
    expected = wide.half()
    order = torch.randperm(K, generator=g)
    if permuted:
        moved = torch.empty_like(expected)
        for j in range(K):
            moved[:, order[j]] = expected[:, j]
        expected = moved
    codec = SpQR(
        shape_NK=(N, K), outliers=len(listed), row_offsets=len(offsets), permutation=K // 2 if permuted else 0
    )
    parts = {
        "dense_weights": torch.tensor(words),
        "row_offsets": torch.tensor(offsets, dtype=torch.int32),
        "col_vals": torch.tensor(listed, dtype=torch.int32),
        "in_perm": (order[0::2] | (order[1::2] << 16)).to(torch.int32),
    }
    again = codec.dequantize({part.name: parts[part.name] for part in codec.parts}, (N, K), torch.float16)
    assert torch.equal(again, expected)


def flute_word(codes: Tensor, bits: int, tile: int, pair: int, half: int, block: int, p: int) -> int:
    """One int16 of the kernels' layout for 2 and 4 bits, by the rule: the even row of a pair holds the first half
    of the columns that lie `tile` apart, code by code from the odd row and the even row in turn."""
    count = 16 // bits
    word = 0
    for s in range(count):
        row = 2 * pair + 1 - s % 2
        column = block * tile * count + (half * count // 2 + s // 2) * tile + p
        word |= int(codes[row, column]) << (bits * s)
    return word - (1 << 16) if word >= 1 << 15 else word


@pytest.mark.parametrize("tile", [32, 64])
@pytest.mark.parametrize("bits", [2, 4])
def test_higgs_words_hold_two_rows(bits: int, tile: int) -> None:
    N, K = 2 * tile * 16 // bits, 4
    codes = torch.randint(0, 2**bits, (K, N), generator=draws(), dtype=torch.uint8)
    packed = pack(codes, bits, tile)
    assert packed.shape == (N * bits // 16, K)
    for k in range(K):
        for i in range(packed.shape[0]):
            block, p = divmod(i, tile)
            assert int(packed[i, k]) == flute_word(codes, bits, tile, k // 2, k % 2, block, p)
    assert torch.equal(unpack(packed, bits, tile), codes)


def test_higgs_three_bit_words_are_split_over_planes() -> None:
    N, K, tile = 1024, 4, 32
    codes = torch.randint(0, 8, (K, N), generator=draws(), dtype=torch.uint8)
    packed = pack(codes, 3, tile)
    turn = [0, 3, 6, 9, 12, 1, 4, 7, 10, 13, 2, 5, 8, 11, 14, 15]
    for pair, block, p in ((0, 0, 0), (1, 1, 31), (0, 1, 7)):
        fields = []
        for column in turn:
            at = block * 512 + column * tile + p
            fields += [int(codes[2 * pair + 1, at]), int(codes[2 * pair, at])]
        rest = fields[30] | (fields[31] << 3)
        for w in range(3):
            word = sum(f << (3 * i) for i, f in enumerate(fields[10 * w : 10 * w + 10]))
            word |= ((rest >> (2 * w)) & 3) << 30
            for row in range(2):
                half = (word >> (16 * row)) & 0xFFFF
                at = block * tile + p if w == 0 else N // 16 + (block * 2 + w - 1) * tile + p
                assert int(packed[at, 2 * pair + row]) & 0xFFFF == half
    assert torch.equal(unpack(packed, 3, tile), codes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("bits", "p"), [(2, 1), (4, 1), (2, 2), (3, 2)])
def test_higgs_looks_pairs_up_and_rotates_back(bits: int, p: int, dtype: torch.dtype) -> None:
    N, K, hs, group = 512, 128, 64, 64
    codec = Higgs(bits=bits, p=p, group=group, hadamard=hs, dtype=dtype)
    weight = torch.randn(N, K, generator=draws())
    parts = codec.quantize(weight)
    codes = unpack(parts["weight"], bits, 32)
    table = parts["tables2"].view(dtype).float()
    if p == 1:
        assert torch.equal(table[2, 1], torch.stack((parts["tables"][2], parts["tables"][1])).float())
    signs = torch.tensor([[(-1.0) ** (i & j).bit_count() for j in range(hs)] for i in range(hs)])
    rows = [0, 17, N - 1]
    again = codec.dequantize(parts, (N, K), torch.float32)
    for n in rows:
        row = torch.zeros(K)
        for k in range(0, K, 2):
            pair = table[int(codes[k, n]), int(codes[k + 1, n])]
            row[k : k + 2] = pair * parts["scales"][n, k // group].float()
        expected = (row.view(-1, hs) @ signs).view(-1) / math.sqrt(hs)
        torch.testing.assert_close(again[n], expected, rtol=1e-5, atol=1e-6)


def test_higgs_tiles_and_templates() -> None:
    for bits, count in ((2, 36), (3, 36), (4, 144)):
        wide = [t for t in range(count) if tile_of_template(bits, t) == 64]
        assert len(wide) == count // 3
        for tile in (32, 64):
            assert tile_of_template(bits, template_of_tile(bits, tile)) == tile


@pytest.mark.parametrize(("bits", "per_word"), [(8, 1), (6, 5), (5, 6), (4, 2), (3, 10), (2, 4), (1, 8)])
def test_sinq_rows_are_packed_in_pieces(bits: int, per_word: int) -> None:
    codes = torch.randint(0, 2**bits, (24, 3), generator=draws(), dtype=torch.uint8)
    packed = pack_rows(codes, bits)
    step = -(-24 // per_word)
    for r in range(step):
        for c in range(3):
            fields = [int(codes[r + i * step, c]) if r + i * step < 24 else 0 for i in range(per_word)]
            expected = 0
            for field in fields:
                expected = (expected << bits) | field
            assert int(packed[r, c]) == expected
    assert torch.equal(unpack_rows(packed, bits)[:24], codes)


@pytest.mark.parametrize("square", [False, True])
def test_sinq_weights_by_hand(square: bool) -> None:
    N, K, G = 64, 64, 16
    codec = Sinq(shape_NK=(N, K), group=G, square=square, auxiliary=not square)
    parts = codec.quantize(torch.randn(N, K, generator=draws()))
    codes = unpack_rows(parts["W_q"], 4).view(-1)
    again = codec.dequantize(parts, (N, K), torch.float32)

    def number(name: str, i: int) -> float:
        if square:
            return float(parts[name].flatten()[i])
        x, s, m = (parts[f"{name}_{part}"] for part in "xsm")
        column = i % x.shape[1]
        return float(x.flatten()[i]) * float(s[0, column]) + float(m[0, column])

    for n, k in ((0, 0), (3, 17), (40, 63), (63, 5)):
        code = int(codes[n * K + k])
        if square:
            tile = n // G * (K // G) + k // G
            group, second = tile * G + n % G, float(parts["scale2"][tile, 0, k % G])
        else:
            group, second = n * (K // G) + k // G, float(parts["scale2"][0, k])
        expected = (code - number("zero", group)) * number("scale", group) * second
        assert float(again[n, k]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_balancing_evens_out_rows_and_columns() -> None:
    g = draws()
    tile = torch.randn(1, 64, 32, generator=g)
    uneven = tile * torch.rand(1, 64, 1, generator=g).add(0.2) * torch.rand(1, 1, 32, generator=g).add(0.2)

    def ratio(x: Tensor) -> float:
        spread = torch.cat((x.std(2).flatten(), x.std(1).flatten()))
        return float(spread.max() / spread.min())

    made, columns, rows = balanced(uneven)
    assert ratio(made) < 0.6 * ratio(uneven)
    torch.testing.assert_close(made * columns * rows, uneven)


def test_kurtosis_of_known_distributions() -> None:
    g = draws()
    assert kurtosis(torch.randn(200_000, generator=g)) == pytest.approx(3.0, abs=0.1)
    assert kurtosis(torch.rand(200_000, generator=g)) == pytest.approx(1.8, abs=0.05)
