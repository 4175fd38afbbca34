"""Every op gives back, bit for bit, what it was given, and says the same shapes on meta."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_modeling.weights import (
    Chain,
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

SIZE = st.integers(1, 5)
DTYPE = st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.uint8])


def numbered(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor whose elements are all different, up to the dtype's range."""
    return torch.arange(math.prod(shape)).reshape(shape).to(dtype)


def check(op: Op, disk: list[Tensor]) -> list[Tensor]:
    memory = op.forward(disk)
    back = op.inverse(memory)
    assert len(back) == len(disk)
    for given_tensor, returned in zip(disk, back, strict=True):
        assert returned.dtype == given_tensor.dtype
        assert torch.equal(returned, given_tensor)
    outline = op.forward([t.to("meta") for t in disk])
    assert [t.shape for t in outline] == [t.shape for t in memory]
    assert sum(t.numel() for t in memory) == sum(t.numel() for t in disk)
    undone = op.inverse(outline)
    assert [t.shape for t in undone] == [t.shape for t in disk]
    return memory


@given(rows=SIZE, columns=SIZE, dtype=DTYPE)
def test_same_and_transpose(rows: int, columns: int, dtype: torch.dtype) -> None:
    matrix, vector = numbered(rows, columns, dtype=dtype), numbered(rows, dtype=dtype)
    check(Same(), [matrix, vector])
    turned, left = check(Transpose(), [matrix, vector])
    assert turned.shape == (columns, rows)
    assert left is vector
    assert turned.untyped_storage().data_ptr() == matrix.untyped_storage().data_ptr()


@given(sizes=st.lists(SIZE, min_size=1, max_size=4), groups=SIZE, width=SIZE, dim=st.sampled_from([0, 1, -1]))
def test_split(sizes: list[int], groups: int, width: int, dim: int) -> None:
    shape = [width, width]
    shape[dim] = groups * sum(sizes)
    parts = check(Split(tuple(sizes), groups=groups, dim=dim), [numbered(*shape)])
    assert [part.shape[dim] for part in parts] == [groups * size for size in sizes]


def test_split_of_rows_is_a_view() -> None:
    fused = numbered(6, 2)
    for part in Split((1, 2, 3)).forward([fused]):
        assert part.untyped_storage().data_ptr() == fused.untyped_storage().data_ptr()
        assert part.is_contiguous()


def test_split_of_heads_takes_each_heads_own_rows() -> None:
    rows = torch.tensor([f * 10.0 + h for h in range(2) for f in (1, 1, 2, 3)])  # two heads of (q, q, k, v)
    q, k, v = check(Split((2, 1, 1), groups=2), [rows])
    assert q.tolist() == [10, 10, 11, 11]
    assert k.tolist() == [20, 21]
    assert v.tolist() == [30, 31]


@given(experts=SIZE, names=st.integers(1, 3), rows=SIZE, columns=SIZE, dtype=DTYPE)
def test_stack(experts: int, names: int, rows: int, columns: int, dtype: torch.dtype) -> None:
    tensors = [numbered(rows, columns, dtype=dtype) + i for i in range(names * experts)]
    (stacked,) = check(Stack(names), tensors)
    assert stacked.shape == (experts, names * rows, columns)
    for expert in range(experts):
        expected = torch.cat([tensors[name * experts + expert] for name in range(names)])
        assert torch.equal(stacked[expert], expected)


@given(pairs=SIZE, parts=st.integers(1, 3), groups=SIZE, width=SIZE)
def test_deinterleave(pairs: int, parts: int, groups: int, width: int) -> None:
    columns = numbered(width, pairs * parts)
    (gathered,) = check(Deinterleave(parts, dim=-1), [columns])
    assert torch.equal(gathered, torch.cat([columns[:, part::parts] for part in range(parts)], 1))
    check(Deinterleave(parts, groups=groups), [numbered(groups * pairs * parts, width)])


@given(a=SIZE, b=SIZE, c=SIZE)
def test_reshape(a: int, b: int, c: int) -> None:
    check(Reshape((a * b, c), (a, b, c)), [numbered(a * b, c), numbered(a * b, c)])
    check(Reshape((1, -1), (-1,)), [numbered(1, c)])


@settings(max_examples=30)
@given(experts=SIZE, width=st.integers(1, 4), hidden=st.integers(1, 4))
def test_chains_of_real_layouts(experts: int, width: int, hidden: int) -> None:
    interleaved = numbered(experts, hidden, 2 * width)  # gate and up columns alternate, [E, in, out]
    (gate_up,) = check(chain(Transpose(), Deinterleave(dim=1)), [interleaved])
    assert torch.equal(gate_up[:, :width], interleaved[:, :, ::2].mT)
    gate, up = numbered(experts * width, hidden), numbered(experts * width, hidden) + 1000
    reshape = Reshape((experts * width, hidden), (experts, width, hidden))
    (joined,) = check(chain(reshape, concat((width, width), dim=1)), [gate, up])
    assert joined.shape == (experts, 2 * width, hidden)
    check(Inverse(Chain((Transpose(), Split((width, width), dim=1)))), [joined[:, :width], joined[:, width:]])


@pytest.mark.parametrize("op", [Split((2, 2)), Split((1, 1), groups=3), Reshape((5,), (2, 2))])
def test_sizes_that_do_not_add_up_raise(op: Op) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        op.forward([numbered(5)])
