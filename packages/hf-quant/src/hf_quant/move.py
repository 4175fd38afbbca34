"""Changes of layout on packed weights: what an op of a weight table does to rows, done to every part alike.

What an op does is found by letting it loose on a table of row numbers. If rows come out whole, parts are cut
and joined along the dimension that holds rows; the bits of the numbers never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import final

import torch
from torch import Tensor

from hf_modeling.weights.ops import Chain, Op, Same, Transpose
from hf_quant.codec import Codec, Parts, Rows, Shape
from hf_quant.errors import PackingError
from hf_quant.stacking import restated, specs_of

COLUMNS = 24
"""Columns of the table of row numbers: enough parts for an op that moves columns to betray itself."""


@final
@dataclass(frozen=True, slots=True)
class Run:
    """Rows `start` to `stop` of matrix number `matrix` of packed weight number `weight`."""

    weight: int
    matrix: int
    start: int
    stop: int


@final
@dataclass(frozen=True, slots=True)
class Gathered:
    """One weight as rows of others: for each of its matrices, runs in order."""

    shape: Shape
    matrices: tuple[tuple[Run, ...], ...]


def logical(op: Op) -> Op:
    """`op` for weights that are stored as linear layers use them, whatever the family's files do.

    Formats store `[N, K]` even where a family's plain files hold the transpose.
    """
    match op:
        case Transpose():
            return Same()
        case Chain(ops) if ops and isinstance(ops[0], Transpose):
            return Chain(ops[1:])
        case _:
            return op


def gather(
    run: Callable[[Sequence[Tensor]], list[Tensor]], shapes: Sequence[Shape]
) -> tuple[Gathered, ...] | None:
    """How each result of an op is made of rows of its inputs; None if it does more than move rows."""
    tables: list[Tensor] = []
    starts: list[int] = [0]
    for shape in shapes:
        count = prod(shape[:-1])
        rows = torch.arange(starts[-1], starts[-1] + count)
        tables.append((rows[:, None] * COLUMNS + torch.arange(COLUMNS)).view(*shape[:-1], COLUMNS))
        starts.append(starts[-1] + count)
    try:
        results = run(tables)
    except (RuntimeError, ValueError, IndexError):  # sizes of columns are part of the op
        return None
    made: list[Gathered] = []
    for result in results:
        if result.ndim < 2 or result.shape[-1] != COLUMNS:
            return None
        rows = result[..., 0] // COLUMNS
        if not torch.equal(result, rows[..., None] * COLUMNS + torch.arange(COLUMNS)):
            return None
        matrices = tuple(_runs(m.tolist(), shapes, starts) for m in rows.reshape(-1, rows.shape[-1]))
        made.append(Gathered((*rows.shape, shapes[0][-1]), matrices))
    return tuple(made)


def _runs(rows: list[int], shapes: Sequence[Shape], starts: Sequence[int]) -> tuple[Run, ...]:
    """Row numbers as runs, none of which crosses from one matrix into another."""
    runs: list[Run] = []
    edges = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rows)) if b != a + 1), len(rows)]
    for first, last in pairwise(edges):
        at, end = rows[first], rows[first] + last - first
        while at < end:
            weight = next(i for i in range(len(shapes)) if starts[i] <= at < starts[i + 1])
            height = shapes[weight][-2]
            matrix, row = divmod(at - starts[weight], height)
            taken = min(height - row, end - at)
            runs.append(Run(weight, matrix, row, row + taken))
            at += taken
    return tuple(runs)


@final
@dataclass(frozen=True)
class Regroup:
    """An op of the weight table for packed weights: parts of each disk weight in turn, to parts of each in memory."""

    codec: Codec
    names: tuple[str, ...]
    """The parts that are there, in the order in which the tensors of each weight are given."""
    disk: tuple[Shape, ...]
    memory: tuple[Shape, ...]
    to_memory: tuple[Gathered, ...]
    to_disk: tuple[Gathered, ...]

    def forward(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return self._moved(tensors, self.disk, self.to_memory)

    def inverse(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return self._moved(tensors, self.memory, self.to_disk)

    @cached_property
    def is_identity(self) -> bool:
        """Whether tensors come out as they went in."""
        return self.disk == self.memory and all(
            made.matrices == tuple((Run(i, m, 0, made.shape[-2]),) for m in range(prod(made.shape[:-2])))
            for i, made in enumerate(self.to_memory)
        )

    def _moved(
        self, tensors: Sequence[Tensor], shapes: tuple[Shape, ...], makes: tuple[Gathered, ...]
    ) -> list[Tensor]:
        if self.is_identity:
            return list(tensors)
        width = len(self.names)
        weights = [
            dict(zip(self.names, tensors[i * width : (i + 1) * width], strict=True))
            for i in range(len(shapes))
        ]
        moved: list[Tensor] = []
        for made in makes:
            parts = gathered_parts(self.codec, weights, shapes, made)
            moved += [parts[name] for name in self.names]
        return moved


def gathered_parts(
    codec: Codec, weights: Sequence[Parts], shapes: Sequence[Shape], made: Gathered
) -> dict[str, Tensor]:
    """The parts of one weight, cut from those of others and joined. Raises PackingError where they cannot be."""
    result: dict[str, Tensor] = {}
    spelled = restated(codec, weights[0], made.shape, len(shapes[0]) - 2)
    for name in weights[0]:
        matrices: list[Tensor] = []
        for runs in made.matrices:
            pieces = [_piece(codec, weights, shapes, name, run) for run in runs]
            rows = _rows_of(codec, shapes[runs[0].weight], name)
            if rows is None and name not in spelled and not _alike(pieces):
                raise PackingError(
                    f"{name} belongs to all rows of a weight, and differs among weights that are joined",
                    fix="dequantize the model to save it",
                )
            matrices.append(pieces[0] if rows is None or len(pieces) == 1 else torch.cat(pieces, rows.dim))
        lead = made.shape[:-2]
        stacked = torch.stack(matrices).view(*lead, *matrices[0].shape) if lead else matrices[0]
        result[name] = stacked
    if any(shape != made.shape for shape in shapes):
        result.update(spelled)
    return result


def _alike(pieces: Sequence[Tensor]) -> bool:
    first = pieces[0]
    return all(p is first or p.is_meta or torch.equal(first, p) for p in pieces[1:])


def _rows_of(codec: Codec, shape: Shape, name: str) -> Rows | None:
    return (codec.rows(shape[-2:]) or {}).get(name)


def gathered_plain(weights: Sequence[Tensor], made: Gathered) -> Tensor:
    """The same for plain weights: rows of theirs, joined."""
    flat = [weight.reshape(-1, *weight.shape[-2:]) for weight in weights]
    matrices = [
        torch.cat([flat[run.weight][run.matrix, run.start : run.stop] for run in runs])
        for runs in made.matrices
    ]
    return torch.stack(matrices).view(made.shape)


def _piece(codec: Codec, weights: Sequence[Parts], shapes: Sequence[Shape], name: str, run: Run) -> Tensor:
    """What one part holds of a run of rows."""
    shape, part = shapes[run.weight], weights[run.weight][name]
    lead = len(shape) - 2
    if lead:
        part = part.reshape(-1, *part.shape[lead:])[run.matrix]
    rows = _rows_of(codec, shape, name)
    if rows is None:
        return part.view_as(
            part
        )  # a tensor of its own: the same object in two places would mean tied weights
    if run.start % rows.per or (run.stop % rows.per and run.stop != shape[-2]):
        raise PackingError(
            f"rows {run.start} to {run.stop} of a weight {list(shape)} begin or end inside of {name}, "
            f"which packs {rows.per} rows together",
            fix="load it dequantized",
        )
    start, stop = run.start * rows.each // rows.per, -(-run.stop * rows.each // rows.per)
    return part.narrow(rows.dim, start, stop - start)


def plan_regroup(
    codec: Codec,
    op: Op,
    disk: tuple[Shape, ...],
    shared: Sequence[Callable[[str], Tensor]] | None,
    names: tuple[str, ...],
) -> Regroup | None:
    """`op` for packed weights of these shapes; None if it does not commute with the packing.

    shared: for each disk weight, reads one of its parts; used for those that belong to all rows alike, which
        must be equal to be joined. None where the parts are yet to be made: then they count as different.
    """
    op = logical(op)
    if isinstance(op, Same) and len(disk) == 1:
        whole = tuple(Gathered(s, tuple((Run(0, m, 0, s[-2]),) for m in range(prod(s[:-2])))) for s in disk)
        return Regroup(codec, names, disk, disk, whole, whole)
    to_memory = gather(op.forward, disk)
    if to_memory is None:
        return None
    memory = tuple(made.shape for made in to_memory)
    to_disk = gather(op.inverse, memory)
    if to_disk is None or any(made.shape != shape for made, shape in zip(to_disk, disk, strict=True)):
        return None
    if codec.rows(disk[0][-2:]) is None and not all(_keeps_matrices(made, disk) for made in to_memory):
        return None
    regroup = Regroup(codec, names, disk, memory, to_memory, to_disk)
    if not _works(regroup) or not _shared_agree(regroup, shared):
        return None
    return regroup


def _keeps_matrices(made: Gathered, shapes: Sequence[Shape]) -> bool:
    """Whether every matrix is a whole one of the others."""
    return all(
        len(runs) == 1 and runs[0].start == 0 and runs[0].stop == shapes[runs[0].weight][-2]
        for runs in made.matrices
    )


def _works(regroup: Regroup) -> bool:
    """Whether parts come out as the codec says weights of the new shapes are packed, in both directions."""
    codec, names = regroup.codec, regroup.names
    try:
        for shapes, run, results in (
            (regroup.disk, regroup.forward, regroup.memory),
            (regroup.memory, regroup.inverse, regroup.disk),
        ):
            outlines = [_outlines(codec, shape, names) for shape in shapes]
            made = run([outline[name] for outline in outlines for name in names])
            wanted = [specs_of(codec, shape)[name].shape for shape in results for name in names]
            if [tuple(t.shape) for t in made] != wanted:
                return False
    except (PackingError, RuntimeError):
        return False
    return True


def _outlines(codec: Codec, shape: Shape, names: Sequence[str]) -> Mapping[str, Tensor]:
    specs = specs_of(codec, shape)
    return {n: torch.empty(specs[n].shape, dtype=specs[n].dtype, device="meta") for n in names}


def _shared_agree(regroup: Regroup, shared: Sequence[Callable[[str], Tensor]] | None) -> bool:
    """Whether parts that belong to all rows are equal wherever rows of several weights meet."""
    codec = regroup.codec
    matrix = regroup.disk[0][-2:]
    outlines = _outlines(codec, matrix, regroup.names)
    apart = {*(codec.rows(matrix) or {}), *restated(codec, outlines, matrix, 0)}
    for name in regroup.names:
        if name in apart:
            continue
        for made in regroup.to_memory:
            for runs in made.matrices:
                sources = list(dict.fromkeys((run.weight, run.matrix) for run in runs))
                if len(sources) > 1 and shared is None:
                    return False
                if shared is not None and not _alike(
                    [_matrix(shared[w](name), regroup.disk[w], m) for w, m in sources]
                ):
                    return False
    return True


def _matrix(part: Tensor, shape: Shape, matrix: int) -> Tensor:
    lead = len(shape) - 2
    return part.reshape(-1, *part.shape[lead:])[matrix] if lead else part
