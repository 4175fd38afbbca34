"""Running one model on a layout and on one process, and putting what ranks hold together to compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from hf_config import PreTrainedConfig
from hf_config.registry import config_class
from hf_modeling.classes import find_class
from hf_modeling.model import PreTrainedModel
from hf_parallel.gradients import local
from hf_parallel.mesh import ParallelDims
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import Parallel, parallelize
from hf_parallel.placements import Holding
from hf_parallel.regions import put
from hf_parallel.spec import ParallelSpec
from hf_parallel.step import Batch, train_step

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A model, a batch and a step to be taken alike on every layout.

    rows, tokens: of the global batch. ragged: rows end in targets that do not count, of different numbers.
    packed: rows hold several sequences, of different lengths. padded: rows begin or end in padding.
    """

    model: str
    config: Mapping[str, object]
    class_name: str
    rows: int = 4
    tokens: int = 16
    accumulate: int = 1
    steps: int = 0
    max_norm: float | None = None
    ragged: bool = True
    packed: bool = False
    padded: bool = False
    lr: float = 1e-4


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one rank has after a step: the loss, and its parts of gradients and parameters."""

    loss: float
    norm: float | None
    held: Mapping[str, Holding]
    grads: Mapping[str, Array]
    parameters: Mapping[str, Array]
    bytes_read: int = 0


def config_of(case: Case) -> PreTrainedConfig:
    """The case's config."""
    return config_class(case.model).from_dict({**case.config})  # unlike a keyword, a key may be nobody's


def class_of(case: Case) -> type[PreTrainedModel]:
    """The case's model class."""
    return find_class(case.class_name)


def micro_batches(case: Case, part: int, parts: int, step: int = 0) -> list[Batch]:
    """The micro-batches of one of `parts` data parallel ranks; all ranks together have the same rows on any layout."""
    generator = torch.Generator().manual_seed(7 + step)
    vocabulary = config_of(case).vocab_size  # type: ignore[attr-defined]  # every text family has one
    ids = torch.randint(4, vocabulary, (case.rows, case.tokens), generator=generator)
    labels = ids.clone()
    if case.ragged:
        for row in range(case.rows):
            labels[row, case.tokens - row % 3 * 2 :] = -100
    positions = mask = None
    if case.packed:
        positions = torch.stack([_packed(case.tokens, 5 + row % 4) for row in range(case.rows)])
    if case.padded:
        mask = torch.ones_like(ids)
        for row in range(case.rows):
            mask[row, slice(0, row) if row % 2 else slice(case.tokens - row, case.tokens)] = 0
        labels[mask == 0] = -100
    own = slice(part * case.rows // parts, (part + 1) * case.rows // parts)
    cut = [
        [None] * case.accumulate if whole is None else whole[own].chunk(case.accumulate)
        for whole in (ids, labels, mask, positions)
    ]
    made = []
    for x, y, m, p in zip(*cut, strict=True):
        assert x is not None, "every batch has ids"
        made.append(Batch.causal(x, y, attention_mask=m, position_ids=p))
    return made


def _packed(tokens: int, length: int) -> Tensor:
    """Positions of sequences of about this length, one after the other."""
    return torch.cat([torch.arange(length), torch.arange(tokens - length)])


def run_case(case: Case, layout: ParallelSpec, options: ParallelOptions) -> Seen:
    """One step of the case on this rank of `layout`, and `case.steps` more of AdamW."""
    dims = ParallelDims(layout)
    parallel = parallelize(class_of(case), config_of(case), dims, options=options)
    parallel.train(False)  # dropout draws other numbers on other layouts
    return take_steps(case, parallel)


def take_steps(case: Case, parallel: Parallel[PreTrainedModel]) -> Seen:
    """A step and its gradients, then `case.steps` optimizer steps and their parameters."""
    dims = parallel.dims
    result = train_step(
        parallel, micro_batches(case, dims.batch_rank, dims.batch_ways), max_norm=case.max_norm
    )
    grads = {
        name: array(local(p.grad))
        for name, p in parallel.named_parameters()
        if p.grad is not None and name != parallel.tied_copy
    }
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=case.lr, eps=1e-6, foreach=False)
    for step in range(case.steps):
        if step:
            train_step(
                parallel, micro_batches(case, dims.batch_rank, dims.batch_ways, step), max_norm=case.max_norm
            )
        optimizer.step()
        optimizer.zero_grad()
    return Seen(
        loss=float(result.loss),
        norm=None if result.norm is None else float(result.norm),
        held=dict(parallel.held),
        grads=grads,
        parameters={
            name: array(local(p)) for name, p in parallel.named_parameters() if name != parallel.tied_copy
        },
        bytes_read=parallel.bytes_read,
    )


def array(tensor: Tensor) -> Array:
    """A copy that can be sent between processes."""
    made: Array = tensor.detach().float().cpu().numpy().copy()
    return made


def together(
    parts: Sequence[tuple[Mapping[str, Holding], Mapping[str, Array]]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Whole tensors from all ranks' parts; elements that no rank holds are NaN, and ranks must agree on the others."""
    made: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        whole = torch.full(shape, float("nan"))
        seen = False
        for held, arrays in parts:
            if name not in arrays:
                continue
            seen = True
            mine, own = held[name], torch.from_numpy(arrays[name])
            inside = _inside(own, mine)
            before = whole.clone()
            put(whole, mine.region, inside)
            known = ~before.isnan()
            assert torch.allclose(before[known], whole[known], rtol=1e-5, atol=1e-6), (
                f"ranks differ in {name}"
            )
        if seen:
            made[name] = whole
    return made


def _inside(own: Tensor, held: Holding) -> Tensor:
    for dim, places in enumerate(held.places):
        rows = [own.narrow(dim, low, high - low) for low, high in places]
        own = torch.cat(rows, dim) if rows else own.narrow(dim, 0, 0)
    return own


def shapes_of(case: Case) -> dict[str, tuple[int, ...]]:
    """Whole shapes of the case's parameters."""
    from hf_modeling.init import without_weights

    with without_weights():
        model = class_of(case)(config_of(case))
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def assert_equal(seen: Sequence[Seen], one: Seen, case: Case, *, tolerance: float = 1e-5) -> None:
    """Loss, norm, gradients and parameters of all ranks together are those of one process."""
    shapes = shapes_of(case)
    for rank, other in enumerate(seen):
        assert abs(other.loss - one.loss) < tolerance, f"rank {rank}: loss {other.loss}, alone {one.loss}"
        if one.norm is not None:
            assert other.norm is not None, "norms were asked for"
            assert abs(other.norm - one.norm) < tolerance * max(one.norm, 1), (
                f"norm {other.norm}, alone {one.norm}"
            )
    for kind in ("grads", "parameters"):
        made = together([(s.held, getattr(s, kind)) for s in seen], shapes)
        wanted = getattr(one, kind)
        assert made.keys() == wanted.keys(), made.keys() ^ wanted.keys()
        for name, tensor in made.items():
            alone = torch.from_numpy(wanted[name])
            assert not tensor.isnan().any(), f"no rank holds all of {name}"
            worst = float((tensor - alone).abs().max())
            assert worst < tolerance, f"{kind} of {name} differ by {worst:.2e}"
