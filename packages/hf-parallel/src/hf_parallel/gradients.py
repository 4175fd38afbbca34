"""Gradients on a layout: completing those that ranks share, and their norm over everything.

FSDP adds up what data parallel ranks have. What is left are parameters that several ranks of `tp` hold alike and
use for different work, and numbers without an axis, which FSDP does not shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from hf_modeling.model import PreTrainedModel
from hf_parallel.parallel import Parallel
from hf_parallel.pipeline.split import V_SHAPED
from hf_parallel.placements import Cut, Whole
from hf_parallel.regions import Span


def local(tensor: Tensor) -> Tensor:
    """This rank's own part of a parameter or gradient, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gradients(parallel: Parallel[PreTrainedModel]) -> Iterator[tuple[str, Tensor]]:
    """This rank's parts of all gradients there are, by name."""
    for name, parameter in parallel.named_parameters():
        if parameter.grad is not None:
            yield name, local(parameter.grad)


@torch.no_grad()
def complete_gradients(parallel: Parallel[PreTrainedModel]) -> None:
    """Add up gradients that are summands on ranks of `tp`, after the backward passes of a step.

    All of them go in one all-reduce for each element type; a step without such parameters sends nothing.
    """
    dims, found = parallel.dims, dict(gradients(parallel))
    if dims.spec.tp > 1:
        _add_up([grad for name, grad in found.items() if name in parallel.summed], dims.group("tp"))
        _add_up_copies(parallel, found)
    unsharded = [grad for grad in found.values() if not parallel.sharded or grad.ndim == 0]
    if unsharded and dims.size("data") > 1:
        _add_up(unsharded, dims.group("data"))
    _join_tied(parallel, found)


def _join_tied(parallel: Parallel[PreTrainedModel], found: dict[str, Tensor]) -> None:
    """Let the first and the last stage of a pipeline have the sum of what both made for a table they share."""
    copy, pipeline = parallel.tied_copy, parallel.pipeline
    if copy is None or pipeline is None:
        return
    table = parallel.plan.ties[copy]
    group, ways = parallel.dims.group("pp"), parallel.dims.spec.pp
    last = 0 if pipeline.schedule in V_SHAPED else ways - 1
    mine = [found[name] for name in (table, copy) if name in found]
    if last == 0 and len(mine) == 2:
        total = mine[0] + mine[1]
        mine[0].copy_(total)
        mine[1].copy_(total)
    elif last and len(mine) == 1:
        ranks = dist.get_process_group_ranks(group)
        other = ranks[last if table in found else 0]
        sent, received = mine[0].contiguous(), torch.empty_like(mine[0])
        for work in dist.batch_isend_irecv(
            [dist.P2POp(dist.isend, sent, other, group), dist.P2POp(dist.irecv, received, other, group)]
        ):
            work.wait()
        mine[0].add_(received)


def _add_up(tensors: Sequence[Tensor], group: dist.ProcessGroup) -> None:
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.flatten() for tensor in alike])
        dist.all_reduce(flat, group=group)
        for tensor, total in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(total.view_as(tensor))


def _add_up_copies(parallel: Parallel[PreTrainedModel], found: dict[str, Tensor]) -> None:
    """Rows that some ranks of `tp` share: each rank writes its own among zeros, and reads the sum of all there."""
    places: list[tuple[Tensor, Tensor]] = []
    spread: list[Tensor] = []
    for name, grad in found.items():
        if name not in parallel.held:
            continue
        for (start, end), own, dim, _ in shared_rows(parallel, name):
            low, high = own
            part = grad.narrow(dim, low, high - low)
            shape = (*grad.shape[:dim], end - start, *grad.shape[dim + 1 :])
            whole_rows = grad.new_zeros(shape)
            at = _offset(parallel, name, own, dim) - start
            target = whole_rows.narrow(dim, at, high - low)
            target.copy_(part)
            places.append((part, target))
            spread.append(whole_rows)
    if spread:
        _add_up(spread, parallel.dims.group("tp"))
        for part, total in places:
            part.copy_(total)


def shared_rows(parallel: Parallel[PreTrainedModel], name: str) -> Iterator[tuple[Span, Span, int, int]]:
    """Runs of rows that other ranks of `tp` hold too: the part they are of, own rows, axis, and how many hold them."""
    placement, held = parallel.plan.placement(name), parallel.held[name]
    if not isinstance(placement, Cut):
        return
    at = 0
    for part in placement.parts:
        if part.copies > 1:
            for span, place in zip(held.region[placement.dim], held.places[placement.dim], strict=True):
                if at <= span[0] < at + part.size and span[0] < span[1]:
                    yield (at, at + part.size), place, placement.dim, part.copies
        at += part.size


def _offset(parallel: Parallel[PreTrainedModel], name: str, own: Span, dim: int) -> int:
    held = parallel.held[name]
    return held.region[dim][held.places[dim].index(own)][0]


@torch.no_grad()
def global_norm(parallel: Parallel[PreTrainedModel]) -> Tensor:
    """The 2-norm of the whole model's gradients, the same on every rank: one all-reduce of one number.

    Each element counts once, however many ranks hold it.
    """
    dims = parallel.dims
    total = torch.zeros((), dtype=torch.float64, device=dims.device)
    for name, grad in gradients(parallel):
        if name == parallel.tied_copy:
            continue
        square = grad.double().square().sum()
        for _, (low, high), dim, copies in shared_rows(parallel, name):
            square -= grad.narrow(dim, low, high - low).double().square().sum() * (1 - 1 / copies)
        total += square.to(total.device) / _holders(parallel, name, grad)
    dist.all_reduce(total)
    return total.sqrt().float()


def _holders(parallel: Parallel[PreTrainedModel], name: str, grad: Tensor) -> int:
    """How many ranks of the world hold the same elements."""
    spec = parallel.dims.spec
    count = spec.dp_replicate
    if grad.ndim == 0 or not parallel.sharded:
        count *= spec.dp_shard * spec.cp
    return count * (spec.tp if isinstance(parallel.plan.placement(name), Whole) else 1)


@torch.no_grad()
def clip_gradients(parallel: Parallel[PreTrainedModel], max_norm: float) -> Tensor:
    """Scale all gradients so that their global norm is at most `max_norm`; returns the norm they had."""
    norm = global_norm(parallel)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for _, grad in gradients(parallel):
        grad.mul_(factor.to(grad.device, grad.dtype))
    return norm
