"""A model on a layout: plan, share, numbers, shards; and what a step needs to know about them.

The order is fixed, and each stage relies on the ones before: the share of the plan is built on meta, joined
to the other ranks' shares, its blocks wrapped for recomputation and compiled, and last filled and sharded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, final

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from hf_modeling.arguments import DTYPES
from hf_modeling.init import DEFAULT_STD
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import DecoderSpec
from hf_parallel.context import ContextOrder, apply_context
from hf_parallel.experts import apply_experts
from hf_parallel.mesh import ParallelDims
from hf_parallel.options import ParallelOptions
from hf_parallel.pipeline import Stage, make_stage, stages_of_rank
from hf_parallel.placements import Holding
from hf_parallel.plan import Plan, make_plan, outline
from hf_parallel.recompute import wrap_blocks
from hf_parallel.shard import Filling, Sharder
from hf_parallel.tensor import TensorOptions, apply_tensor, summed
from hf_parallel.validate import check_plan
from hf_parallel.weights import RandomWeights, Weights

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_parallel.pipeline.run import Pipeline

M = TypeVar("M", bound=PreTrainedModel)
M_co = TypeVar("M_co", bound=PreTrainedModel, covariant=True)


@final
@dataclass(frozen=True, kw_only=True)
class Parallel(Generic[M_co]):
    """A rank's share of a model, ready to run.

    kind: the class of the whole model.
    parts: the share: one model, or in a pipeline one for each of the rank's stages.
    held: what each of its tensors holds of the whole.
    summed: names whose gradients are still to be added up over `tp`.
    sharded: whether FSDP shards the weights, and adds up their gradients over data parallel ranks.
    pipeline: what runs the stages; None where there is one.
    bytes_read: what loading read.
    """

    kind: type[M_co]
    parts: tuple[M_co, ...]
    dims: ParallelDims
    plan: Plan
    options: ParallelOptions
    held: Mapping[str, Holding]
    summed: frozenset[str]
    sharded: bool
    pipeline: Pipeline | None = None
    bytes_read: int = 0

    @property
    def model(self) -> M_co:
        """The share; it takes and gives what a model of its class does. In a pipeline, the rank's first stage."""
        return self.parts[0]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """This rank's parameters, by the names they have in the whole model."""
        for part in self.parts:
            yield from part.named_parameters()

    def parameters(self) -> list[nn.Parameter]:
        """This rank's parameters, for an optimizer."""
        return [parameter for _, parameter in self.named_parameters()]

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """This rank's parameters by the mesh they are sharded on, as fused and foreach optimizers need them."""
        groups: dict[DeviceMesh | None, list[nn.Parameter]] = {}
        for parameter in self.parameters():
            mesh = parameter.device_mesh if isinstance(parameter, DTensor) else None
            groups.setdefault(mesh, []).append(parameter)
        return list(groups.values())

    def train(self, mode: bool = True) -> None:
        """Training mode, or evaluation mode."""
        for part in self.parts:
            part.train(mode)

    @property
    def tied_copy(self) -> str | None:
        """The output's copy of a table that another stage embeds with; None where one tensor serves both."""
        name = "lm_head.weight"
        return name if self.pipeline is not None and name in self.plan.ties else None


def parallelize(
    cls: type[M],
    config: PreTrainedConfig,
    dims: ParallelDims,
    *,
    options: ParallelOptions = ParallelOptions(),
    weights: Weights | None = None,
    dtype: torch.dtype = torch.float32,
    fp32: tuple[str, ...] = (),
    seed: int = 0,
    shard: bool = True,
) -> Parallel[M]:
    """This rank's share of a model of `cls`; every rank of `dims` calls it alike.

    weights: a random start from `seed`, the same on every layout, if not given.
    fp32: patterns of names that keep float32 whatever `dtype` is. shard: False leaves FSDP out, for inference.

    Raises:
        LayoutMismatchError: the model does not fall into the shares of the layout.
    """
    plan = make_plan(cls, config, dims.spec, replicate=options.replicate)
    check_plan(cls, plan, options)
    if weights is None:
        whole = outline(cls, config, plan.whole)
        weights = RandomWeights(whole, getattr(config, "initializer_range", DEFAULT_STD), seed)
    filling = Filling(weights=weights, dtype=dtype, fp32=fp32)
    sharder = Sharder(plan=plan, dims=dims, options=options, filling=filling, wanted=shard)
    stages = _stages(plan, dims, options)
    parts: list[M] = []
    for stage in stages or (None,):
        part = _part(cls, config, plan, dims, options, stage)
        sharder.run(part)
        parts.append(part)
    return Parallel(
        kind=cls,
        parts=tuple(parts),
        dims=dims,
        plan=plan,
        options=options,
        held=sharder.held,
        summed=summed(plan, sequence=options.sequence_parallel),
        sharded=sharder.shards,
        pipeline=_pipeline(plan, dims, options, stages, parts, dtype) if stages else None,
        bytes_read=weights.bytes_read,
    )


def _part(
    cls: type[M],
    config: PreTrainedConfig,
    plan: Plan,
    dims: ParallelDims,
    options: ParallelOptions,
    stage: Stage | None,
) -> M:
    """One stage of this rank's share, or all of it, joined to the others and still on meta."""
    spec = dims.spec
    model = outline(cls, config, plan.spec)
    assert isinstance(model, cls), "an outline is of its class"
    if spec.tp > 1:
        tensor = TensorOptions(sequence=options.sequence_parallel, whole_logits=not options.loss_parallel)
        apply_tensor(model, plan, dims.group("tp"), tensor)
    if spec.ep > 1:
        apply_experts(model, dims.group("ep"))
    if stage is not None:
        sequence_ways = spec.tp if options.sequence_parallel else 1
        make_stage(model, stage, sequence_ways=sequence_ways)
    blocks = list(
        (model if model.is_base else model.get_submodule("model")).get_submodule("layers").children()
    )
    wrap_blocks(blocks, options)
    if spec.cp > 1:  # outside of what is recomputed: ranks tell each other where their tokens are once a step
        order = ContextOrder(spec.cp, options.balance)
        apply_context(model, blocks[0], order, dims.group("cp"), options.context)
    return model


def _stages(plan: Plan, dims: ParallelDims, options: ParallelOptions) -> tuple[Stage, ...]:
    if dims.spec.pp == 1:
        return ()
    assert isinstance(plan.whole, DecoderSpec), "pipelines of other models are refused"
    return stages_of_rank(len(plan.whole.blocks), dims.spec.pp, dims.rank("pp"), options)


def _pipeline(
    plan: Plan,
    dims: ParallelDims,
    options: ParallelOptions,
    stages: tuple[Stage, ...],
    parts: Sequence[nn.Module],
    dtype: torch.dtype,
) -> Pipeline:
    from hf_parallel.pipeline.run import Pipeline

    assert isinstance(plan.whole, DecoderSpec), "pipelines of other models are refused"
    own_rows = options.loss_parallel and dims.spec.tp > 1
    return Pipeline(
        stages=stages,
        modules=parts,
        group=dims.group("pp"),
        schedule=options.schedule,
        width=plan.whole.width,
        logits=-(-plan.vocabulary // dims.spec.tp) if own_rows else plan.vocabulary,
        dtype=dtype if options.param_dtype is None else DTYPES[options.param_dtype],
        sequence_ways=dims.spec.tp if options.sequence_parallel else 1,
        device=dims.device,
    )
