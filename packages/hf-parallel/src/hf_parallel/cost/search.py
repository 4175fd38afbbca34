"""Which layouts suit a cluster, how much fits into one, and which setting to change first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

from hf_parallel.cost.cluster import Cluster
from hf_parallel.cost.estimate import Estimate, Workload, estimate
from hf_parallel.cost.share import Measured
from hf_parallel.errors import LayoutError, LayoutMismatchError, Problem
from hf_parallel.spec import ParallelSpec


def divisors(number: int) -> list[int]:
    """The divisors of a number, smallest first."""
    return [n for n in range(1, number + 1) if number % n == 0]


def layouts(
    devices: int, *, node: int, layers: int, experts: int, fixed: Mapping[str, int]
) -> Iterator[ParallelSpec]:
    """Every layout of `devices` with tensor parallelism inside of a node, `fixed` degrees as given."""
    for tp in divisors(devices):
        if tp > node or fixed.get("tp", tp) != tp:
            continue
        for pp in divisors(devices // tp):
            if pp > layers or fixed.get("pp", pp) != pp:
                continue
            for cp in divisors(devices // tp // pp):
                if fixed.get("cp", cp) != cp:
                    continue
                rest = devices // tp // pp // cp
                for shard in divisors(rest):
                    if fixed.get("dp_shard", shard) != shard:
                        continue
                    if fixed.get("dp_replicate", rest // shard) != rest // shard:
                        continue
                    for ep in _expert_degrees(experts, shard * cp * tp, fixed):
                        yield ParallelSpec(
                            pp=pp, dp_replicate=rest // shard, dp_shard=shard, cp=cp, tp=tp, ep=ep
                        )


def _expert_degrees(experts: int, inner: int, fixed: Mapping[str, int]) -> list[int]:
    wanted = fixed.get("ep")
    if experts == 0:
        return [1] if wanted in (None, 1) else []
    return [ep for ep in divisors(inner) if experts % ep == 0 and wanted in (None, ep)]


def rank_layouts(
    model: Measured,
    cluster: Cluster,
    workload: Workload,
    *,
    sequences: int,
    fixed: Mapping[str, int] | None = None,
    top: int = 5,
) -> list[Estimate]:
    """The fastest layouts that fit for steps of `sequences` sequences over all ranks; micro-batches and recomputation
    are chosen for each. Where none fits, those that lack least memory.

    Raises:
        LayoutMismatchError: no layout of this many devices suits the model and the batch.
    """
    found: list[Estimate] = []
    experts = max((_experts(block.experts, block.top_k) for block in model.facts.blocks), default=0)
    count = _expert_count(model) if experts else 0
    for layout in layouts(
        cluster.devices,
        node=cluster.node,
        layers=len(model.facts.blocks),
        experts=count,
        fixed=fixed or {},
    ):
        data = layout.dp_replicate * layout.dp_shard
        if sequences % data:
            continue
        best = _best(model, layout, cluster, workload, sequences // data)
        if best is not None:
            found.append(best)
    if not found:
        raise LayoutMismatchError(
            f"no layout of {cluster.devices} devices suits steps of {sequences} sequences",
            [
                Problem(
                    where="sequences",
                    rule=f"{sequences} do not fall evenly on any data-parallel degree that is left",
                    instead="a multiple of the number of devices always does",
                )
            ],
            fix="change the tokens of a step, or the degrees that are fixed",
        )
    found.sort(key=lambda e: (not e.fits, e.times.step if e.fits else e.memory.total))
    return found[:top]


def _experts(parameters: int, top_k: int) -> int:
    return parameters if top_k else 0


def _expert_count(model: Measured) -> int:
    from hf_modeling.spec import DualFfn, Moe
    from hf_parallel.cost.measure import ffn_of, stack_of

    for block in stack_of(model.cls, model.cls.family.spec(model.config)).blocks:
        ffn = ffn_of(block)
        if isinstance(ffn, Moe):
            return ffn.count
        if isinstance(ffn, DualFfn):
            return ffn.sparse.count
    return 0


def _best(
    model: Measured, layout: ParallelSpec, cluster: Cluster, workload: Workload, sequences: int
) -> Estimate | None:
    """The best way to work through `sequences` on each rank of data parallelism."""
    best: Estimate | None = None
    for batch in (b for b in divisors(sequences) if b <= 64):
        for recompute in ("none", "selective", "full"):
            work = replace(
                workload,
                batch=batch,
                microbatches=sequences // batch,
                recompute=recompute,
            )
            try:
                one = estimate(model, layout, work, cluster)
            except LayoutError:
                return None
            key = (not one.fits, one.times.step if one.fits else one.memory.total)
            if best is None or key < (not best.fits, best.times.step if best.fits else best.memory.total):
                best = one
    return best


def largest_batch(model: Measured, layout: ParallelSpec, workload: Workload, cluster: Cluster) -> int:
    """The most sequences of a micro-batch that fit; 0 if one does not."""
    return _most(lambda n: estimate(model, layout, replace(workload, batch=n), cluster).fits)


def longest_context(model: Measured, layout: ParallelSpec, workload: Workload, cluster: Cluster) -> int:
    """The most tokens of a sequence that fit, a multiple of 2 * cp; 0 if none do."""
    unit = 2 * layout.cp
    return unit * _most(lambda n: estimate(model, layout, replace(workload, seq=n * unit), cluster).fits)


def _most(fits: Callable[[int], bool]) -> int:
    if not fits(1):
        return 0
    high = 2
    while high < 1 << 40 and fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One setting to change, what for, and what it would do: bytes less, and the step's time over what it was."""

    setting: str
    why: str
    memory: float
    time: float


def advise(model: Measured, found: Estimate, cluster: Cluster) -> list[Advice]:
    """Single settings that would pay, best first: what fits before what is faster, then by what they save."""
    work, advice = found.workload, []
    for setting, why, changed in _changes(work, found.layout):
        one = estimate(model, found.layout, changed, cluster)
        saved, ratio = found.memory.total - one.memory.total, one.times.step / found.times.step
        helps = (one.fits and not found.fits) or ratio < 0.99 or (not found.fits and saved > 0)
        if helps and (one.fits or not found.fits):
            advice.append(
                (
                    not one.fits,
                    ratio if found.fits else -saved,
                    Advice(setting=setting, why=why, memory=saved, time=ratio),
                )
            )
    return [one for *_, one in sorted(advice, key=lambda entry: entry[:2])]


def _changes(work: Workload, layout: ParallelSpec) -> Iterator[tuple[str, str, Workload]]:
    if work.recompute != "none":
        yield (
            'recompute="none"',
            "activations fit without computing them again",
            replace(work, recompute="none"),
        )
    if work.recompute == "none":
        yield 'recompute="selective"', "keeps matrix products only", replace(work, recompute="selective")
    if work.recompute != "full":
        yield 'recompute="full"', "keeps one tensor for each layer", replace(work, recompute="full")
    if work.loss_chunks == 1:
        yield "a chunked loss", "not all logits are there at once", replace(work, loss_chunks=16)
    if work.optimizer >= 8:
        yield 'optim="adamw_8bit"', "states of one byte each", replace(work, optimizer=2)
    if layout.tp > 1 and not work.sequence_parallel:
        yield "sequence_parallel=True", "norms and residuals in shares", replace(work, sequence_parallel=True)
    if layout.tp > 1 and not work.loss_parallel:
        yield "loss_parallel=True", "logits in shares", replace(work, loss_parallel=True)
    if not work.offload:
        yield "offload=True", "shards and optimizer states in main memory", replace(work, offload=True)
    if work.compute == "float32":
        yield (
            'param_dtype="bfloat16"',
            "half the activations, tensor cores",
            replace(work, compute="bfloat16"),
        )
    if work.microbatches > 1:
        doubled = replace(work, batch=2 * work.batch, microbatches=max(1, work.microbatches // 2))
        yield f"batch={doubled.batch}", "larger products, fewer passes", doubled
    if layout.pp > 1 and work.schedule == "1f1b":
        two = replace(work, schedule="interleaved", stages_per_rank=2)
        yield 'schedule="interleaved", stages_per_rank=2', "half the bubble", two
