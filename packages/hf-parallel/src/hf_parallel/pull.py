"""Reading part of what a weight rule makes, from those parts of its inputs that it is made of.

A rule's op turns whole disk tensors into whole memory tensors. A rank wants some rows of a result; here each op
says which rows of which inputs these are, and only they are read. Ops that are not known by name are run on
whole inputs, which is always right and reads more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hf_modeling.weights.ops import (
    Chain,
    Deinterleave,
    Inverse,
    Op,
    Same,
    Split,
    Stack,
    Transpose,
)
from hf_parallel.regions import Region, Span, Spans, shape_of, take, whole

Read = Callable[[int, Region], Tensor]
"""Some rows of the input of that number."""
Shape = tuple[int, ...]
Piece = tuple[int, Span]
"""Neighbouring rows of one tensor, by its number."""


def pull(op: Op, shapes: Sequence[Shape], number: int, region: Region, read: Read) -> Tensor:
    """The `region` of result `number` of `op`, for inputs of these shapes."""
    match op:
        case Same():
            return read(number, region)
        case Transpose():
            return _transposed(len(shapes[number]), number, region, read)
        case Split(sizes=sizes, groups=groups, dim=dim):
            dim %= len(shapes[0])
            pieces = _of_group(region[dim], sizes, groups, number)
            return _joined([(0, span) for span in pieces], dim, region, read)
        case Inverse(op=Split(sizes=sizes, groups=groups, dim=dim)):
            dim %= len(shapes[0])
            return _joined(_of_parts(region[dim], sizes, groups), dim, region, read)
        case Stack(names=names):
            return _stacked(len(shapes) // names, shapes[0], names, region, read)
        case Inverse(op=Stack(names=names)):
            return _unstacked(shapes[0], names, number, region, read)
        case Deinterleave(parts=parts, groups=groups, dim=dim):
            dim %= len(shapes[number])
            return _deinterleaved(shapes[number][dim], parts, groups, dim, number, region, read)
        case Chain(ops=ops):
            return _chained(ops, shapes, number, region, read)
        case _:
            made = op.forward([read(index, whole(shape)) for index, shape in enumerate(shapes)])
            return take(made[number], region)


def _chained(ops: Sequence[Op], shapes: Sequence[Shape], number: int, region: Region, read: Read) -> Tensor:
    if not ops:
        return read(number, region)
    *first, last = ops
    between = list(shapes)
    for op in first:
        made = op.forward([torch.empty(shape, dtype=torch.uint8, device="meta") for shape in between])
        between = [tuple(tensor.shape) for tensor in made]
    return pull(last, between, number, region, lambda n, wanted: _chained(first, shapes, n, wanted, read))


def _transposed(axes: int, number: int, region: Region, read: Read) -> Tensor:
    if axes < 2:
        return read(number, region)
    return read(number, (*region[:-2], region[-1], region[-2])).mT


def _joined(pieces: Sequence[Piece], dim: int, region: Region, read: Read) -> Tensor:
    """Rows along `dim` from several tensors, one after the other."""
    runs: list[tuple[int, list[Span]]] = []
    for number, span in pieces:
        if runs and runs[-1][0] == number:
            runs[-1][1].append(span)
        else:
            runs.append((number, [span]))
    parts = [read(number, (*region[:dim], tuple(spans), *region[dim + 1 :])) for number, spans in runs]
    if not parts:
        return read(0, (*region[:dim], (), *region[dim + 1 :]))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _of_group(spans: Spans, sizes: tuple[int, ...], groups: int, part: int) -> list[Span]:
    """Rows of one part of a split, as rows of what was split."""
    size, total, before = sizes[part], sum(sizes), sum(sizes[:part])
    if groups == 1:
        return [(before + start, before + end) for start, end in spans]
    found: list[Span] = []
    for start, end in spans:
        while start < end:
            group, offset = divmod(start, size)
            stop = min(end, (group + 1) * size)
            first = group * total + before + offset
            found.append((first, first + stop - start))
            start = stop
    return found


def _of_parts(spans: Spans, sizes: tuple[int, ...], groups: int) -> list[Piece]:
    """Rows of what parts make together, as rows of the parts."""
    total = sum(sizes)
    if groups == 1:
        total = max(total, 1)
    found: list[Piece] = []
    for start, end in spans:
        while start < end:
            group, offset = divmod(start, total)
            part = 0
            while offset >= sizes[part]:
                offset -= sizes[part]
                part += 1
            length = min(sizes[part] - offset, end - start)
            first = group * sizes[part] + offset
            found.append((part, (first, first + length)))
            start += length
    return found


def _stacked(experts: int, shape: Shape, names: int, region: Region, read: Read) -> Tensor:
    """Experts of a stack, each from its own tensors."""
    made: list[Tensor] = []
    for first, last in region[0]:
        for expert in range(first, last):
            inner = region[1:]
            if names == 1:
                made.append(read(expert, inner))
                continue
            pieces = [
                (name * experts + expert, span) for name, span in _of_parts(inner[0], (shape[0],) * names, 1)
            ]
            made.append(_joined(pieces, 0, inner, read))
    if made:
        return torch.stack(made)
    return read(0, tuple(() for _ in shape)).new_empty(shape_of(region))


def _unstacked(shape: Shape, names: int, number: int, region: Region, read: Read) -> Tensor:
    name, expert = divmod(number, shape[0])
    inner = region
    if names > 1:
        rows = shape[1] // names * name
        inner = (tuple((rows + start, rows + end) for start, end in region[0]), *region[1:])
    return read(0, (((expert, expert + 1),), *inner)).squeeze(0)


def _deinterleaved(
    size: int, parts: int, groups: int, dim: int, number: int, region: Region, read: Read
) -> Tensor:
    """Rows (group, part, i) lie at (group, i, part): a run of i is one block, of which every `parts`-th is wanted."""
    each = size // groups
    rows = each // parts
    blocks: dict[Span, Tensor] = {}
    made: list[Tensor] = []
    for start, end in region[dim]:
        while start < end:
            group, within = divmod(start, each)
            part, first = divmod(within, rows)
            count = min(rows - first, end - start)
            block = (group * each + first * parts, group * each + (first + count) * parts)
            if block not in blocks:
                blocks[block] = read(number, (*region[:dim], (block,), *region[dim + 1 :]))
            index = torch.arange(part, count * parts, parts, device=blocks[block].device)
            made.append(blocks[block].index_select(dim, index))
            start += count
    if not made:
        return read(number, (*region[:dim], (), *region[dim + 1 :]))
    return torch.cat(made, dim)
