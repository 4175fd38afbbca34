"""A model on a layout: plan, share, numbers, shards; and what a step needs to know about them.

The order is fixed, and each stage relies on the ones before: the share of the plan is built on meta, joined
to the other ranks' shares, its blocks wrapped for recomputation and compiled, and last filled and sharded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, final

import torch

from hf_modeling.init import DEFAULT_STD
from hf_modeling.model import PreTrainedModel
from hf_parallel.context import ContextOrder, apply_context
from hf_parallel.mesh import ParallelDims
from hf_parallel.options import ParallelOptions
from hf_parallel.placements import Holding
from hf_parallel.plan import Plan, make_plan, outline
from hf_parallel.shard import Filling, Sharder
from hf_parallel.tensor import TensorOptions, apply_tensor, summed
from hf_parallel.validate import check_plan
from hf_parallel.weights import RandomWeights, TensorWeights, Weights

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

M = TypeVar("M", bound=PreTrainedModel)


@final
@dataclass(frozen=True, kw_only=True)
class Parallel(Generic[M]):
    """A rank's share of a model, ready to run.

    kind: the class of the whole model. model: the share; it takes and gives what a model of that class does.
    held: what each of its tensors holds of the whole.
    summed: names whose gradients are still to be added up over `tp`. bytes_read: what loading read.
    """

    kind: type[M]
    model: M
    dims: ParallelDims
    plan: Plan
    options: ParallelOptions
    held: Mapping[str, Holding]
    summed: frozenset[str] = field(default_factory=frozenset)
    bytes_read: int = 0

    @property
    def parts(self) -> tuple[PreTrainedModel, ...]:
        """The models this rank runs: one."""
        return (self.model,)


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
) -> Parallel[M]:
    """This rank's share of a model of `cls`; every rank of `dims` calls it alike.

    weights: a random start from `seed`, the same on every layout, if not given.

    Raises:
        LayoutMismatchError: the model does not fall into the shares of the layout.
    """
    plan = make_plan(cls, config, dims.spec, replicate=options.replicate)
    check_plan(plan, options)
    if weights is None:
        whole = outline(cls, config, cls.family.spec(config))
        weights = RandomWeights(whole, getattr(config, "initializer_range", DEFAULT_STD), seed)
    model = outline(cls, config, plan.spec)
    assert isinstance(model, cls), "an outline is of its class"
    if dims.spec.tp > 1 or dims.spec.ep > 1:
        tensor = TensorOptions(sequence=options.sequence_parallel, whole_logits=not options.loss_parallel)
        apply_tensor(model, plan, dims.group("tp"), tensor)
    if dims.spec.cp > 1:
        order = ContextOrder(dims.spec.cp, options.balance)
        layers = (model if model.is_base else model.get_submodule("model")).get_submodule("layers")
        first = next(layers.children())
        apply_context(model, first, order, dims.group("cp"), options.context)
    sharder = Sharder(
        plan=plan, dims=dims, options=options, filling=Filling(weights=weights, dtype=dtype, fp32=fp32)
    )
    sharder.run(model)
    return Parallel(
        kind=cls,
        model=model,
        dims=dims,
        plan=plan,
        options=options,
        held=sharder.held,
        summed=summed(plan, sequence=options.sequence_parallel),
        bytes_read=weights.bytes_read,
    )


__all__ = ["Parallel", "TensorWeights", "parallelize"]
