"""Memory, traffic and time of one training step on a layout.

Closed forms over counted quantities. For a group of n ranks a collective of a buffer of S bytes puts S (n-1)/n on
each rank's wire when it gathers or scatters, and twice that when it reduces for all (ring algorithm). Time is
alpha-beta: steps times latency, plus bytes over bandwidth of the link that the group spans.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil
from typing import Literal, final

from hf_parallel.cost.cluster import Cluster
from hf_parallel.cost.share import LayerShare, Measured, Share
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.options import Recompute, Schedule
from hf_parallel.spec import ParallelSpec

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
OVERLAP = 0.8
"""The share of computing time that gathering the next shards can hide behind."""
RECOMPUTED = {"none": 1.0, "selective": 1.05, "full": 4 / 3}
"""Operations with recomputation over those without: a third forward pass over two of backward and one forward."""
SELECTIVE = 0.5
"""The share of a layer's activations that stays when only matrix products are kept."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One step of training.

    Attributes:
        seq: tokens of a sequence. batch: sequences of a micro-batch on each rank of data parallelism.
        microbatches: micro-batches of a step: accumulated, or in a pipeline's flight.
        compute: element type of activations and gathered weights.
        weights, gradients, optimizer: bytes kept for each parameter; 4, 4, 8 is AdamW with float32 weights.
        reduce: bytes of an element of gradients on the wire.
        sequence_parallel, loss_parallel, recompute, schedule, stages_per_rank: as in `ParallelOptions`.
        loss_chunks: into how many parts the loss cuts its tokens, so that not all logits are there at once.
        offload: weights' shards, gradients and optimizer states are in main memory.
    """

    seq: int
    batch: int = 1
    microbatches: int = 1
    compute: str = "bfloat16"
    weights: int = 4
    gradients: int = 4
    optimizer: float = 8
    reduce: int = 4
    sequence_parallel: bool = True
    loss_parallel: bool = True
    recompute: Recompute = "none"
    schedule: Schedule = "1f1b"
    stages_per_rank: int = 1
    loss_chunks: int = 1
    offload: bool = False

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.compute]

    def tokens(self, layout: ParallelSpec) -> int:
        """Tokens of a step over all ranks."""
        return self.seq * self.batch * self.microbatches * layout.dp_replicate * layout.dp_shard


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes on the rank that holds most. gathered: weights and gradients that shards are put together to.

    accumulates: gradients of an earlier micro-batch are there during a forward pass.
    """

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    logits: float
    accumulates: bool

    @property
    def total(self) -> float:
        """The peak. Backward turns activations into gradients, so one micro-batch needs room for the larger alone."""
        passing = self.activations + self.logits
        both = passing + self.gradients if self.accumulates else max(passing, self.gradients)
        return self.weights + self.optimizer + self.gathered + both


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Bytes that one rank puts on the wire in a step, by axis."""

    fsdp: float
    replicate: float
    tp: float
    cp: float
    pp: float
    ep: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Seconds of a step. `fsdp` is what computing does not hide; `bubble` the time a pipeline's ranks wait."""

    compute: float
    tp: float
    cp: float
    ep: float
    fsdp: float
    replicate: float
    pp: float
    bubble: float
    optimizer: float

    @property
    def step(self) -> float:
        return sum(float(getattr(self, field.name)) for field in fields(self))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a step costs on a layout."""

    layout: ParallelSpec
    workload: Workload
    memory: Memory
    traffic: Traffic
    times: Times
    tokens_per_second: float
    mfu: float
    fits: bool

    @property
    def bound_by(
        self,
    ) -> Literal["memory", "compute", "tp", "cp", "ep", "fsdp", "replicate", "pp", "bubble", "optimizer"]:
        """The term to change first."""
        if not self.fits:
            return "memory"
        longest = max(fields(self.times), key=lambda field: getattr(self.times, field.name))
        return longest.name  # type: ignore[return-value] # the fields of Times


RESERVE = 0.08
"""The share of a device's memory that allocators, kernels and communication take."""


def estimate(model: Measured, layout: ParallelSpec, workload: Workload, cluster: Cluster) -> Estimate:
    """What a step costs.

    Raises:
        LayoutMismatchError: the layout does not fit the model, the sequence or the cluster.
    """
    check(model, layout, workload, cluster)
    share = model.share(layout, workload.compute)
    memory = memory_of(model, share, layout, workload)
    traffic = traffic_of(model, share, layout, workload)
    times, useful = times_of(model, share, layout, workload, cluster, traffic)
    step = times.step
    tokens = workload.tokens(layout)
    return Estimate(
        layout=layout,
        workload=workload,
        memory=memory,
        traffic=traffic,
        times=times,
        tokens_per_second=tokens / step,
        mfu=useful / step / cluster.accelerator.peak(workload.compute),
        fits=memory.total <= cluster.accelerator.memory * (1 - RESERVE),
    )


def check(model: Measured, layout: ParallelSpec, workload: Workload, cluster: Cluster) -> None:
    """Raises LayoutMismatchError with everything that stands in the way of the layout."""
    layers, problems = len(model.facts.blocks), []
    if layout.world_size != cluster.devices:
        problems.append(
            Problem(
                where="layout",
                rule=f"{layout or 'one process'} takes {layout.world_size} devices, the cluster has {cluster.devices}",
                instead="change a degree",
            )
        )
    if layout.pp * workload.stages_per_rank > layers:
        problems.append(
            Problem(
                where="layers", rule=f"{layers} cannot be {layout.pp} stages", instead=f"pp up to {layers}"
            )
        )
    if layout.cp > 1 and workload.seq % (2 * layout.cp):
        problems.append(
            Problem(
                where="seq",
                rule=f"{workload.seq} tokens are not 2 * cp = {2 * layout.cp} equal chunks",
                instead="make it a multiple",
            )
        )
    if problems:
        raise LayoutMismatchError(f"layout {layout} cannot be", problems, fix="see what would do instead")


def in_flight(layout: ParallelSpec, work: Workload) -> float:
    """Micro-batches whose activations the first stage holds at once, in units of a rank's layers."""
    if layout.pp == 1:
        return 1.0
    v, m = work.stages_per_rank, work.microbatches
    match work.schedule:
        case "gpipe":
            return float(m)
        case "1f1b" | "zbv" | "dualpipe_v":
            return float(min(layout.pp, m))
        case "interleaved" | "interleaved_zb" | "looped_bfs":
            most = layout.pp * (1 + (v - 1) / v) if work.schedule != "looped_bfs" else float(m)
            return min(most, float(m))


def bubble_of(layout: ParallelSpec, work: Workload) -> float:
    """Time that ranks of a pipeline wait over time they work (arXiv 2104.04473; zero bubble: arXiv 2401.10241)."""
    if layout.pp == 1:
        return 0.0
    plain = (layout.pp - 1) / (work.microbatches * work.stages_per_rank)
    match work.schedule:
        case "interleaved_zb":
            return plain / 3
        case "zbv" | "dualpipe_v":
            return 0.0
        case _:
            return plain


def kept(layer: LayerShare, layout: ParallelSpec, work: Workload, width: int) -> float:
    """Bytes a token that backward needs of a layer."""
    shared = layout.tp if work.sequence_parallel else 1
    # Sequence parallel keeps what norms read in shares; what matrix products read was gathered.
    inner = layer.saved.shared + layer.saved.scores * work.seq
    full = inner + layer.saved.stream * (0.5 + 0.5 / shared)
    match work.recompute:
        case "none":
            return full
        case "selective":
            return full * SELECTIVE
        case "full":
            return width * work.itemsize / shared


def memory_of(model: Measured, share: Share, layout: ParallelSpec, work: Workload) -> Memory:
    """Memory of the fuller of a pipeline's first and last stage."""
    stages = [_stage(model, share, layout, work, first=True)]
    if layout.pp > 1:
        stages.append(_stage(model, share, layout, work, first=False))
    return max(stages, key=lambda memory: memory.total)


def _stage(model: Measured, share: Share, layout: ParallelSpec, work: Workload, *, first: bool) -> Memory:
    count = ceil(len(share.layers) / layout.pp)
    layers = share.layers[:count] if first else share.layers[-count:]
    last = layout.pp == 1 or not first
    outer = share.other + (share.embedding if first else 0)
    if last:
        outer += share.head if not share.tied or first else share.embedding
    dense = sum(layer.dense for layer in layers) + outer
    experts = sum(layer.experts for layer in layers)
    fsdp = layout.dp_shard * layout.cp
    held = dense / fsdp + experts / max(1, fsdp * layout.tp / layout.ep if layout.ep > 1 else fsdp)
    largest = max(layer.dense + layer.experts for layer in layers)
    gathered = 0.0
    if fsdp > 1:
        # Two layers are whole at once, the next being fetched; a pipeline keeps all of them.
        whole = dense + experts if layout.pp > 1 else 2 * largest + outer
        gathered = whole * work.itemsize + 2 * largest * work.reduce
    elif work.itemsize < work.weights:
        gathered = (dense + experts) * work.itemsize
    tokens = work.seq * work.batch / layout.cp
    per_token = [kept(layer, layout, work, model.facts.width) for layer in layers]
    activations = tokens * sum(per_token) * (in_flight(layout, work) if first else 1.0)
    if work.recompute == "full":
        activations += tokens * max(layer.saved.total(work.seq) for layer in layers)
    logits = 0.0
    if last:
        rows = tokens / work.loss_chunks
        ways = layout.tp if work.loss_parallel else 1
        # Their log-probabilities in float32, the gradient of these, and that of the logits.
        logits = rows * model.facts.vocabulary / ways * (work.itemsize + 4 + 4)
        activations += 3 * tokens * model.facts.width * work.itemsize
    on_device = 0.0 if work.offload else 1.0
    return Memory(
        weights=held * work.weights * on_device,
        gradients=held * work.gradients * on_device,
        optimizer=held * work.optimizer * on_device,
        gathered=gathered,
        activations=activations,
        logits=logits,
        accumulates=work.microbatches > 1,
    )


def traffic_of(model: Measured, share: Share, layout: ParallelSpec, work: Workload) -> Traffic:
    """What each rank of a middle stage sends in a step."""
    b, width = work.itemsize, model.facts.width
    count = ceil(len(share.layers) / layout.pp)
    layers = share.layers[:count]
    tokens = work.seq * work.batch / layout.cp
    outer = (share.embedding + share.head + share.other) / layout.pp
    dense = sum(layer.dense for layer in layers) + outer
    experts = sum(layer.experts for layer in layers)
    fsdp = layout.dp_shard * layout.cp
    spread = fsdp * layout.tp / layout.ep if layout.ep > 1 else fsdp
    # Layers are gathered forward and back for each micro-batch, what is around them once; a pipeline keeps its own.
    # Gradients are scattered once a step.
    gathers = 1 if layout.pp > 1 else 2 * work.microbatches
    around = 1 if layout.pp > 1 else work.microbatches
    moved = _ring(fsdp) * ((dense - outer) * gathers * b + outer * around * b + dense * work.reduce)
    moved += _ring(spread) * experts * (gathers * b + work.reduce)
    replicate = 2 * _ring(layout.dp_replicate) * (dense / fsdp + experts / max(1, spread)) * work.reduce
    # Each split part gathers (or reduces) on the way in and out, forward and backward; the table and the head once.
    stream = tokens * width * b * work.microbatches
    tp = _ring(layout.tp) * stream * (8 * len(layers) + (4 / layout.pp))
    if work.recompute == "full":
        tp *= 1.5
    # A ring: keys and values go once around, and back with their gradients, which have one hop more to come home.
    keys = sum(layer.facts.keys / layout.tp for layer in layers)
    hops = 2 * (layout.cp - 1) + 4 * layout.cp if layout.cp > 1 else 0
    cp = hops * tokens * keys * b * work.microbatches
    pp = 0.0
    if layout.pp > 1:
        ways = layout.tp if work.sequence_parallel else 1
        pp = 2 * stream / ways * work.stages_per_rank
    top = sum(layer.facts.top_k for layer in layers)
    ep = 4 * _ring(layout.ep) * stream * top / layout.tp
    return Traffic(fsdp=moved, replicate=replicate, tp=tp, cp=cp, pp=pp, ep=ep)


def _ring(ranks: float) -> float:
    return (ranks - 1) / ranks if ranks > 1 else 0.0


def times_of(
    model: Measured, share: Share, layout: ParallelSpec, work: Workload, cluster: Cluster, traffic: Traffic
) -> tuple[Times, float]:
    """Seconds of a step by cause, and the operations of each device that the model needs, recomputing left out."""
    device = cluster.accelerator
    layers, m = len(share.layers) / layout.pp, work.microbatches
    useful = model.facts.flops(work.seq) * work.tokens(layout) / layout.world_size
    compute = useful * RECOMPUTED[work.recompute] / (device.peak(work.compute) * device.efficiency)
    tp_span = layout.tp
    cp_span = tp_span * layout.cp
    fsdp_span = cp_span * layout.dp_shard
    tp = cluster.seconds(traffic.tp, layout.tp, tp_span) + 8 * layers * m * _steps(layout.tp, cluster)
    cp = cluster.seconds(traffic.cp, layout.cp, cp_span) + 3 * layers * m * _steps(layout.cp, cluster)
    ep = cluster.seconds(traffic.ep, layout.ep, max(layout.ep, tp_span)) + (
        4 * layers * m * _steps(layout.ep, cluster) if traffic.ep else 0.0
    )
    fsdp = cluster.seconds(traffic.fsdp, layout.dp_shard * layout.cp, fsdp_span)
    replicate = cluster.seconds(traffic.replicate, layout.dp_replicate, fsdp_span * layout.dp_replicate)
    pp = 0.0
    if layout.pp > 1:
        pp = traffic.pp / cluster.bandwidth(layout.world_size) + 2 * m * cluster.latency
    held = (
        sum(layer.dense + layer.experts for layer in share.layers) / layout.pp / (layout.dp_shard * layout.cp)
    )
    link = cluster.accelerator.intra if work.offload else device.hbm
    busy = compute + tp + cp + ep
    times = Times(
        compute=compute,
        tp=tp,
        cp=cp,
        ep=ep,
        fsdp=max(0.0, fsdp - OVERLAP * compute),
        replicate=replicate,
        pp=pp,
        bubble=busy * bubble_of(layout, work),
        optimizer=2 * held * (work.weights + work.gradients + work.optimizer) / link,
    )
    return times, useful


def _steps(ranks: int, cluster: Cluster) -> float:
    return (ranks - 1) * cluster.latency
