"""Which part of a tensor a rank holds: for each axis, which rows of the whole.

A `Region` says nothing about who computes what; it is what loading, saving and checkpoints agree on.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

Span: TypeAlias = tuple[int, int]
"""From the first row to the one after the last."""
Spans: TypeAlias = tuple[Span, ...]
"""Rows of one axis, in the order in which they are held."""
Region: TypeAlias = tuple[Spans, ...]
"""Rows of each axis. A rank holds the cross product."""


def whole(shape: tuple[int, ...]) -> Region:
    """All of a tensor."""
    return tuple(((0, size),) for size in shape)


def count(spans: Spans) -> int:
    """How many rows they are."""
    return sum(end - start for start, end in spans)


def shape_of(region: Region) -> tuple[int, ...]:
    """The shape of what is held."""
    return tuple(count(spans) for spans in region)


def numel(region: Region) -> int:
    """How many elements are held."""
    total = 1
    for spans in region:
        total *= count(spans)
    return total


def rows(spans: Spans, first: int, last: int) -> Spans:
    """The held rows `first` to `last`, counted as held, as rows of the whole."""
    kept: list[Span] = []
    at = 0
    for start, end in spans:
        low, high = max(first - at, 0), min(last - at, end - start)
        if low < high:
            kept.append((start + low, start + high))
        at += end - start
    return tuple(kept)


def narrow(region: Region, dim: int, first: int, last: int) -> Region:
    """A region with only the held rows `first` to `last` of one axis."""
    return (*region[:dim], rows(region[dim], first, last), *region[dim + 1 :])


def joined(spans: Spans) -> Spans:
    """The same rows with neighbours made one."""
    made: list[Span] = []
    for start, end in spans:
        if start == end:
            continue
        if made and made[-1][1] == start:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return tuple(made)


def take(tensor: Tensor, region: Region) -> Tensor:
    """The region of a whole tensor; a view where it is one box."""
    for dim, spans in enumerate(region):
        parts = [tensor.narrow(dim, start, end - start) for start, end in joined(spans)]
        if len(parts) == 1:
            tensor = parts[0]
        else:
            tensor = torch.cat(parts, dim) if parts else tensor.narrow(dim, 0, 0)
    return tensor


def put(tensor: Tensor, region: Region, part: Tensor) -> None:
    """Write what is held of a region to its place in the whole tensor."""
    boxes: list[tuple[Tensor, Tensor]] = [(tensor, part)]
    for dim, spans in enumerate(region):
        split: list[tuple[Tensor, Tensor]] = []
        for target, source in boxes:
            at = 0
            for start, end in spans:
                split.append((target.narrow(dim, start, end - start), source.narrow(dim, at, end - start)))
                at += end - start
        boxes = split
    for target, source in boxes:
        target.copy_(source)
