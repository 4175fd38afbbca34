"""Part of a rule's result, read from parts of its inputs, is that part of the whole result."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_modeling.weights.ops import (
    Deinterleave,
    Inverse,
    Op,
    Reshape,
    Same,
    Split,
    Stack,
    Transpose,
    chain,
    concat,
)
from hf_parallel.placements import Part, cut, holding
from hf_parallel.pull import pull
from hf_parallel.regions import Region, narrow, numel, put, rows, shape_of, take, whole

OPS: dict[str, tuple[Op, list[tuple[int, ...]]]] = {
    "same": (Same(), [(6, 4)]),
    "transpose": (Transpose(), [(6, 4)]),
    "bias": (Transpose(), [(6,)]),
    "fused": (Split((4, 2, 6)), [(12, 3)]),
    "columns": (Split((4, 2, 6), dim=-1), [(3, 12)]),
    "heads": (Split((2, 2, 2), groups=4), [(24, 3)]),
    "grouped": (Split((4, 2, 2), groups=2), [(16, 3)]),
    "joined": (concat((4, 2, 6)), [(4, 3), (2, 3), (6, 3)]),
    "joined heads": (Inverse(Split((2, 4), groups=3)), [(6, 2), (12, 2)]),
    "stack": (Stack(), [(6, 4)] * 3),
    "stack of two": (Stack(2), [(6, 4)] * 6),
    "unstack": (Inverse(Stack()), [(3, 6, 4)]),
    "unstack two": (Inverse(Stack(2)), [(3, 12, 4)]),
    "interleaved": (Deinterleave(), [(12, 3)]),
    "interleaved heads": (Deinterleave(groups=2), [(12, 3)]),
    "interleaved columns": (Deinterleave(dim=-1), [(2, 5, 12)]),
    "chain": (chain(Transpose(), Split((4, 2, 6)), Deinterleave(groups=1)), [(3, 12)]),
    "reshape": (Reshape((6, 4), (8, 3)), [(6, 4)]),
}


@st.composite
def regions(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    made = []
    for size in shape:
        marks = sorted(draw(st.lists(st.integers(0, size), max_size=4, unique=True)))
        spans = tuple(zip(marks[::2], marks[1::2], strict=False))
        made.append(draw(st.sampled_from([spans, ((0, size),)])))
    return tuple(made)


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pulling_a_region_is_taking_it(name: str, data: st.DataObject) -> None:
    op, shapes = OPS[name]
    inputs = [torch.randn(shape) for shape in shapes]
    results = op.forward(inputs)
    number = data.draw(st.integers(0, len(results) - 1))
    region = data.draw(regions(tuple(results[number].shape)))
    read = 0

    def rows_of(index: int, wanted: Region) -> torch.Tensor:
        nonlocal read
        read += numel(wanted)
        return take(inputs[index], wanted)

    got = pull(op, shapes, number, region, rows_of)
    assert tuple(got.shape) == shape_of(region)
    assert torch.equal(got, take(results[number], region))
    if name != "reshape" and "interleaved" not in name and name != "chain":
        assert read == numel(region)


@pytest.mark.parametrize("ways", [2, 4])
@pytest.mark.parametrize("parts", [(8,), (7,), (8, 8), (6, 2), (Part(8, copies=2),), (Part(4, copies=2), 8)])
def test_shares_cover_the_whole(ways: int, parts: tuple[int | Part, ...]) -> None:
    placement = cut(0, *parts)
    size = sum(part.size for part in placement.parts)
    tensor = torch.randn(size, 3)
    made = torch.full_like(tensor, float("nan"))
    for rank in range(ways):
        held = holding(placement, (size, 3), ways, rank)
        assert held is not None
        put(made, held.region, take(tensor, held.region))
        local = torch.zeros(sum(part.share(ways) for part in placement.parts), 3)
        put(local, held.places, take(tensor, held.region))
        for start in range(0, local.shape[0], 2):
            kept = held.chunk(0, start, min(start + 2, local.shape[0]))
            again = torch.zeros(min(2, local.shape[0] - start), 3)
            put(again, kept.places, take(tensor, kept.region))
            assert torch.equal(again, local[start : start + 2])
    assert torch.equal(made, tensor)


def test_rows_count_what_is_held() -> None:
    assert rows(((2, 5), (7, 9)), 2, 4) == ((4, 5), (7, 8))
    assert narrow(whole((4, 6)), 1, 2, 3) == (((0, 4),), ((2, 3),))
