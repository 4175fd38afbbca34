"""Integer formats against their layouts written out as loops and known words, which other tools' files have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_quant.affine import Integers
from hf_quant.codecs.awq import AwqGemm, AwqGemv
from hf_quant.codecs.compressed import CompressedIntegers
from hf_quant.codecs.eetq import Eetq
from hf_quant.codecs.gptq import Gptq
from hf_quant.codecs.hqq import Hqq
from hf_quant.codecs.mlx import Mlx
from hf_quant.codecs.quanto import QuantoBits, group_size
from hf_quant.codecs.sparse import Marlin24, SparseBitmask, kept_places, weight_order
from hf_quant.codecs.torchao import TorchAoInt4, TorchAoTiles
from hf_quant.errors import CalibrationNeededError, PackingError
from hf_quant.packing import pack_bits, pack_fields, unpack_bits, unpack_fields


def words(tensor: Tensor) -> list[str]:
    return [f"{int(word) & 0xFFFFFFFF:08x}" for word in tensor.flatten()]


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float16)


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(1, 8),
    values=st.lists(st.integers(0, 255), min_size=1, max_size=70),
    dtype=st.sampled_from([torch.uint8, torch.int16, torch.int32]),
)
def test_a_stream_of_bits_gives_back_what_went_in(bits: int, values: list[int], dtype: torch.dtype) -> None:
    small = torch.tensor([[value % 2**bits for value in values]] * 2, dtype=torch.uint8)
    packed = pack_bits(small, bits, dtype)
    assert packed.shape == (2, -(-len(values) * bits // (8 * dtype.itemsize)))
    assert torch.equal(unpack_bits(packed, bits, len(values)), small)
    number = sum(int(v) << (bits * i) for i, v in enumerate(small[0]))
    stream = bytes(packed[0].contiguous().view(torch.uint8).tolist())
    assert int.from_bytes(stream, "little") == number


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(1, 8), values=st.lists(st.integers(0, 255), min_size=1, max_size=70))
def test_whole_values_in_each_word_give_back_what_went_in(bits: int, values: list[int]) -> None:
    small = torch.tensor([value % 2**bits for value in values], dtype=torch.uint8)
    packed = pack_fields(small, bits)
    per_word = 32 // bits
    assert packed.shape == (-(-len(values) // per_word),)
    assert torch.equal(unpack_fields(packed, bits, len(values)), small)
    first = sum(int(v) << (bits * i) for i, v in enumerate(small[:per_word]))
    assert int(packed[0]) & 0xFFFFFFFF == first


def test_words_that_are_too_few_are_refused() -> None:
    with pytest.raises(PackingError, match="hold 8 values of 4 bits; 9 are needed"):
        unpack_bits(torch.zeros(1, dtype=torch.int32), 4, 9)


def test_gptq_words_are_those_of_its_tools() -> None:
    rising = torch.arange(32, dtype=torch.uint8)[None].expand(32, 32)
    four = Gptq(bits=4, group_size=32)
    parts = four.assemble(Integers(q_NK=rising % 8, scale_NG=ones(32, 1), zero_NG=torch.full((32, 1), 8.0)))
    assert set(words(parts["qweight"])) == {"76543210"}
    assert set(words(parts["qzeros"])) == {"77777777"}
    second = Gptq(bits=4, group_size=32, zero_offset=0)
    parts = second.assemble(Integers(q_NK=rising % 8, scale_NG=ones(32, 1), zero_NG=torch.full((32, 1), 8.0)))
    assert set(words(parts["qzeros"])) == {"88888888"}
    three = Gptq(bits=3, group_size=32)
    parts = three.assemble(Integers(q_NK=rising % 8, scale_NG=ones(32, 1), zero_NG=torch.full((32, 1), 4.0)))
    assert words(parts["qweight"][:, 0]) == ["88fac688", "c688fac6", "fac688fa"]


def test_a_gptq_zero_of_nothing_does_not_touch_its_neighbour() -> None:
    codec = Gptq(bits=4, group_size=32)
    zero = torch.tensor([[0.0], [5.0]] * 16)
    integers = Integers(q_NK=torch.zeros(32, 32, dtype=torch.uint8), scale_NG=ones(32, 1), zero_NG=zero)
    parts = codec.assemble(integers)
    assert set(words(parts["qzeros"])) == {"4f4f4f4f"}
    found = codec.integers(parts, (32, 32)).zero_NG
    assert found is not None
    assert torch.equal(found.float(), zero)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("offset", [0, 1])
def test_gptq_dequantizes_as_a_loop_over_its_definition(bits: int, offset: int) -> None:
    torch.manual_seed(bits)
    N, K, G = 32, 64, 16
    mask = 2**bits - 1
    q, zero = torch.randint(0, mask + 1, (K, N)), torch.randint(0, mask + 1, (K // G, N))
    scales = (torch.rand(K // G, N) / 8).half()
    order = torch.randperm(K) // G
    parts = {
        "qweight": loop_packed(q.T, bits).T.contiguous(),
        "qzeros": loop_packed((zero - offset) & mask, bits),
        "scales": scales,
        "g_idx": order.to(torch.int32),
    }
    expected = torch.empty(N, K)
    for n in range(N):
        for k in range(K):
            g = int(order[k])
            expected[n, k] = float(scales[g, n]) * float(q[k, n] - zero[g, n])
    codec = Gptq(bits=bits, group_size=G, zero_offset=offset)
    assert torch.equal(codec.dequantize(parts, (N, K), torch.float32), expected)
    assert torch.equal(codec.dequantize(parts, (N, K), torch.float16), expected.half())


def loop_packed(values: Tensor, bits: int) -> Tensor:
    """Each row as one long number, cut into 32-bit words."""
    rows = []
    for row in values.tolist():
        number = sum(value << (bits * i) for i, value in enumerate(row))
        count = len(row) * bits // 32
        raw = [(number >> (32 * i)) & 0xFFFFFFFF for i in range(count)]
        rows.append([word - 2**32 if word >= 2**31 else word for word in raw])
    return torch.tensor(rows, dtype=torch.int32)


def test_awq_words_take_turns() -> None:
    columns = (torch.arange(8, dtype=torch.uint8)[:, None]).expand(8, 32)  # output n holds the value n
    parts = AwqGemm(group_size=32).assemble(
        Integers(q_NK=columns, scale_NG=ones(8, 1), zero_NG=torch.arange(8.0)[:, None])
    )
    assert set(words(parts["qweight"])) == {"75316420"}
    assert words(parts["qzeros"]) == ["75316420"]
    plain = AwqGemm(group_size=32, interleaved=False, signed=True).assemble(
        Integers(q_NK=columns, scale_NG=ones(8, 1), zero_NG=torch.full((8, 1), 8.0))
    )
    assert set(words(plain["qweight"])) == {"fedcba98"}
    assert words(plain["qzeros"]) == ["00000000"]


@pytest.mark.parametrize(("group", "width"), [(128, 1), (64, 2), (32, 4)])
def test_awq_gemv_pads_zeros_to_what_its_kernel_reads(group: int, width: int) -> None:
    K = 2 * group
    codec = AwqGemv(group_size=group)
    parts = codec.quantize(torch.randn(16, K))
    assert parts["qzeros"].shape == (16, width)
    assert parts["scales"].shape == (16, 8 * width)
    word, zeros = int(parts["qweight"][3, 1]), int(parts["qzeros"][3, 0])
    made = codec.dequantize(parts, (16, K), torch.float32)
    for i in range(8):
        step = ((word >> (4 * i)) & 15) - (zeros & 15)
        assert made[3, 8 + i] == step * parts["scales"][3, 0].float()


def test_eetq_bytes_are_in_the_order_of_cutlass() -> None:
    torch.manual_seed(0)
    N, K = 128, 64
    q = torch.randint(-128, 128, (K, N), dtype=torch.int8)
    rows = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]
    permuted = torch.stack([q[k // 16 * 16 + rows[k % 16]] for k in range(K)])
    columns = permuted.T.contiguous()  # by output
    turns = torch.empty(N * K, dtype=torch.int16)
    at = 0
    for pair in range(N // 2):
        for tile in range(K // 64):
            for column in (2 * pair, 2 * pair + 1):
                turns[at : at + 64] = columns[column, 64 * tile : 64 * tile + 64]
                at += 64
    biased = (turns + 128).to(torch.uint8).view(-1, 4)
    stored = biased[:, [0, 2, 1, 3]].reshape(K, N).view(torch.int8)
    scales = (torch.rand(N) / 100).half()
    made = Eetq().dequantize({"weight": stored, "weight_scales": scales}, (N, K), torch.float32)
    assert torch.equal(made, q.T.float() * scales.float()[:, None])
    again = Eetq().assemble(Integers(q_NK=q.T.contiguous(), scale_NG=scales[:, None]))
    assert torch.equal(again["weight"], stored)


def test_compressed_words_hold_unsigned_numbers() -> None:
    codec = CompressedIntegers(bits=4, group_size=-1)
    q = torch.arange(8, dtype=torch.uint8)[None].expand(2, 8)
    parts = codec.assemble(Integers(q_NK=q, scale_NG=torch.ones(2, 1), zero_NG=torch.full((2, 1), 8.0)))
    assert words(parts["weight_packed"]) == ["76543210"] * 2
    assert parts["weight_shape"].tolist() == [2, 8]
    made = codec.dequantize(parts, (2, 8), torch.float32)
    assert made[0].tolist() == [-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0]


def test_both_generations_of_compressed_words_are_read() -> None:
    weight = torch.randn(32, 64)
    old = CompressedIntegers(bits=3, group_size=32, symmetric=False, packing="fields")
    new = CompressedIntegers(bits=3, group_size=32, symmetric=False)
    a, b = old.quantize(weight), new.quantize(weight)
    assert (a["weight_packed"].shape[1], b["weight_packed"].shape[1]) == (7, 6)
    assert torch.equal(old.dequantize(a, (32, 64), torch.float32), new.dequantize(b, (32, 64), torch.float32))


def test_hqq_bytes_hold_rows_that_lie_far_apart() -> None:
    codec = Hqq(bits=4, group_size=32, axis=1)
    weight = torch.randn(8, 32)
    parts = codec.quantize(weight)
    high, low = parts["W_q"] >> 4, parts["W_q"] & 15
    q = torch.cat((high, low)).float()
    expected = (q - parts["zero"].float()) * parts["scale"].float()
    assert torch.equal(codec.dequantize(parts, (8, 32), torch.float32), expected)
    three = Hqq(bits=3, group_size=32, axis=0)
    parts = three.quantize(weight)
    assert parts["W_q"].shape == (4, 8)  # 32 rows, and 8 that fill up, in fours of ten
    first = torch.stack([(parts["W_q"][i % 4] >> (27 - 3 * (i // 4))) & 7 for i in range(32)])
    expected = ((first - parts["zero"].float()) * parts["scale"].float()).reshape(8, 32)
    assert torch.equal(three.dequantize(parts, (8, 32), torch.float32), expected)


def test_quanto_bytes_hold_the_first_rows_lowest() -> None:
    codec = QuantoBits(inputs=256, bits=2)
    weight = torch.randn(4, 256)
    parts = codec.quantize(weight)
    assert parts["data"].shape == (2, 128)
    q = torch.cat([(parts["data"] >> (2 * i)) & 3 for i in range(4)]).float()
    expected = (q * parts["scale"] - parts["shift"]).view(4, 256)
    assert torch.equal(codec.dequantize(parts, (4, 256), torch.float32), expected)
    assert [group_size(K) for K in (64, 128, 256, 160, 192, 200)] == [64, 128, 128, 32, 96, 200]


def test_mlx_words_are_read_lowest_first() -> None:
    parts = {
        "weight": torch.tensor([[0x76543210]], dtype=torch.int64).to(torch.uint32),
        "scales": torch.tensor([[2.0]]).half(),
        "biases": torch.tensor([[-1.0]]).half(),
    }
    made = Mlx(bits=4, group_size=8).dequantize(parts, (1, 8), torch.float32)
    assert made.tolist() == [[-1.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0]]


def test_torchao_bytes_hold_the_even_input_lower() -> None:
    parts = {
        "qdata": torch.tensor([[0x7F - 256 * 0, -128]], dtype=torch.int8),
        "scale": torch.tensor([[0.5]], dtype=torch.bfloat16),
        "zero_point": torch.tensor([[1.0]], dtype=torch.bfloat16),
    }
    made = TorchAoInt4(group_size=4).dequantize(parts, (1, 4), torch.float32)
    assert made.tolist() == [[0.5, 4.5, 1.0, -3.0]]


def test_torchao_tiles_are_those_of_tensor_cores() -> None:
    torch.manual_seed(0)
    N, K, G = 16, 1024, 128
    q = torch.randint(0, 16, (N, K))
    stored = torch.zeros(N // 8, K // 128, 32, 4, dtype=torch.int64)
    for nt in range(N // 8):
        for ko in range(K // 128):
            for t in range(32):
                for ip in range(4):
                    n, base = nt * 8 + t // 4, ko * 128 + 32 * ip + 2 * (t % 4)
                    v = [int(q[n, base + step]) for step in (0, 1, 8, 9, 16, 17, 24, 25)]
                    stored[nt, ko, t, ip] = sum(
                        v[j] << (4 * i) for i, j in enumerate((0, 2, 4, 6, 1, 3, 5, 7))
                    )
    both = torch.randn(K // G, N, 2).bfloat16()
    parts = {"qdata": stored.to(torch.int32), "scale_and_zero": both}
    groups = torch.arange(K) // G
    scale, zero = both.float().unbind(-1)
    expected = (q - 8) * scale.T[:, groups] + zero.T[:, groups]
    codec = TorchAoTiles(sizes=(13, 1000), group_size=G)
    assert torch.equal(codec.dequantize(parts, (13, 1000), torch.float32), expected[:13, :1000])
    assert codec.specs((13, 1000))["qdata"].shape == (2, 8, 32, 4)


def test_marlin_sparse_weights_are_read_back() -> None:
    torch.manual_seed(0)
    N, K, G = 64, 256, 64
    dense = torch.randint(-8, 8, (N, K // 4, 4)).float()
    places = torch.rand(N, K // 4, 4).topk(2, -1).indices.sort(-1).values
    kept = dense.gather(-1, places).view(N, K // 2)
    sparse = torch.zeros_like(dense).scatter_(-1, places, kept.view(N, K // 4, 2)).view(N, K)
    scales = (torch.rand(K // 2 // (G // 2), N) / 8).half()
    tiles = (kept.T + 8).view(K // 32, 16, N // 16, 16).transpose(1, 2).reshape(-1, 1024)
    packed = pack_bits(tiles[:, weight_order(4)].to(torch.uint8).view(K // 32, -1), 4)
    fields = places.view(N, K // 16, 8) << torch.arange(0, 16, 2)
    flat = fields.sum(-1).flatten()
    # The order of CUTLASS, learned by sending numbered words through its inverse.
    numbers = torch.arange(N * K // 16)
    low, high = ((numbers >> s) & 0xFF for s in (0, 8))
    where = [trace(part, N, K) for part in (low, high)]
    meta = torch.empty(N * K // 16, dtype=torch.int64)
    meta[where[0] | (where[1] << 8)] = flat
    order = [8 * i + j for i in range(8) for j in (0, 4, 1, 5, 2, 6, 3, 7)]
    parts = {
        "weight_packed": packed,
        "scale_packed": scales.view(-1, 64)[:, order].view(scales.shape),
        "meta": meta.to(torch.int16).view(K // 32, 2 * N),
    }
    codec = Marlin24(bits=4, group_size=G)
    assert {n: tuple(p.shape) for n, p in parts.items()} == {
        n: s.shape for n, s in codec.specs((N, K)).items()
    }
    by_group = scales.float().T[:, torch.arange(K) // G]
    torch.testing.assert_close(codec.dequantize(parts, (N, K), torch.float32), sparse * by_group)
    with pytest.raises(CalibrationNeededError):
        codec.quantize(sparse)


def trace(values: Tensor, N: int, K: int) -> Tensor:
    """A byte of each word, as `kept_places` finds it: four fields of two bits."""
    fields = kept_places(values.to(torch.int16).view(K // 32, 2 * N), N, K).view(-1, 8)
    return (fields[:, :4] << torch.arange(0, 8, 2)).sum(-1)


def test_sparse_weights_lose_nothing_and_must_be_sparse() -> None:
    torch.manual_seed(0)
    fours = torch.randn(8, 8, 4)
    fours.scatter_(-1, fours.abs().topk(2, -1, largest=False).indices, 0.0)
    weight, codec = fours.view(8, 32), SparseBitmask(dtype=torch.float32)
    parts = codec.quantize(weight)
    assert parts["compressed"].shape == (8, 16)
    assert (parts["bitmask"][0, 0] & 1).bool() == (weight[0, 0] != 0)
    assert torch.equal(codec.dequantize(parts, (8, 32), torch.float32), weight)
    with pytest.raises(PackingError, match="64 of 64 groups of four weights have more than two"):
        codec.quantize(torch.randn(8, 32))
    loose = weight.clone()
    loose[0] = 0
    mask = loose != 0
    parts = {
        "compressed": loose[mask],
        "bitmask": pack_bits(mask, 1, torch.uint8),
        "shape": torch.tensor([8, 32]),
        "row_offsets": mask.sum(-1).cumsum(0) - mask.sum(-1),
    }
    codec = SparseBitmask(count=int(mask.sum()), dtype=torch.float32)
    assert torch.equal(codec.dequantize(parts, (8, 32), torch.float32), loose)
