"""Tensor and sequence parallelism: what ranks say to each other around each part of the plan.

A part that is split over heads or inner features takes an input that is the same on all ranks and gives a
summand; entering it costs an all-reduce in the backward pass, leaving it one in the forward pass
(arXiv 1909.08053). With sequence parallelism the stream between parts is cut along the sequence, and the two
become an all-gather and a reduce-scatter (arXiv 2205.05198): as many bytes, and norms and dropout are shared.

B batch, T tokens, D width, V vocabulary, M tokens of all rows in one list, E experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from hf_modeling.build import mixer_of
from hf_modeling.layers.alibi import AlibiBias
from hf_modeling.layers.base import Mixer
from hf_modeling.layers.moe import DualFfnLayer, MoeLayer
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import Attention, DecoderSpec, GeometricAlibi, InterleavedAlibi, ModelSpec
from hf_modeling.step import Step
from hf_parallel.collectives import (
    parts_to_whole,
    same_to_parts,
    same_to_work,
    scale_gradient,
    summands_to_parts,
    summands_to_same,
)
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.placements import FIRST, WHOLE
from hf_parallel.plan import Plan, Unit
from hf_parallel.vocabulary import TOKENS, check_tokens, join_vocabulary
from hf_parallel.wrap import Forward, around


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TensorOptions:
    """How the ranks of `tp` share what lies between the split parts.

    sequence: the stream between parts is cut along the sequence.
    whole_logits: every rank gets the logits of all the vocabulary; otherwise those of its own rows, for a loss
        that needs no more (`loss.vocabulary_cross_entropy`).
    """

    sequence: bool = False
    whole_logits: bool = True


def apply_tensor(model: PreTrainedModel, plan: Plan, group: ProcessGroup, options: TensorOptions) -> None:
    """Join `model`, one rank's share of the plan still on meta, to the other ranks' shares.

    Raises:
        LayoutMismatchError: sequence parallelism for a model whose layers read more than the stream.
    """
    base = "" if model.task == "base" else "model."
    if options.sequence:
        _refuse_sequence(model, base)
    for name, held in plan.placements.items():
        if held == FIRST and group.rank() > 0:
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._parameters[leaf] = None
    _give_own_slopes(model, base, plan, group)
    for unit in plan.units:
        if unit.work == "vocabulary":
            continue
        module = model.get_submodule(unit.path)
        for name in unit.split_norms:
            _join_norm(module.get_submodule(name), group)
        _join(module, unit, group, options.sequence)
    join_vocabulary(model, plan, group, sequence=options.sequence, whole_logits=options.whole_logits)


def summed(plan: Plan, *, sequence: bool) -> frozenset[str]:
    """Whole parameters whose gradients on each rank are summands, to be added up over `tp`."""
    if plan.layout.tp == 1:
        return frozenset()
    names = set()
    for name in plan.shapes:
        if plan.placement(name) != WHOLE:
            continue
        unit = plan.unit_of(name)
        if unit is not None:
            shared = unit.work in ("heads", "inner", "tokens") and not _is_output_norm(name, unit)
        else:
            between = ".layers." in f".{name}" or name.removeprefix("model.").startswith("norm.")
            shared = sequence and between
        if shared:
            names.add(name)
    return frozenset(names)


def _is_output_norm(name: str, unit: Unit) -> bool:
    """A norm of the sum that all ranks have: it runs alike on all of them, unless they share out tokens."""
    part = name.removeprefix(f"{unit.path}.").split(".")[0]
    return unit.sparse and unit.work == "inner" and part.endswith("output_norm")


def _join(module: nn.Module, unit: Unit, group: ProcessGroup, sequence: bool) -> None:
    """Enter and leave a part: from the stream between parts to what its ranks work on, and back."""
    if unit.work == "whole" and not sequence:
        return
    moes = [part for part in module.modules() if isinstance(part, MoeLayer)] if unit.sparse else []
    norms = _output_norms(module) if unit.work == "inner" else []
    for norm in norms:
        around(norm, lambda inner: _summed_first(inner, group))
    # What leaves a part is a summand of each rank, unless it was summed before a norm at its end.
    summands = unit.work in ("heads", "inner") and not norms

    def enter(x_BTD: Tensor) -> Tensor:
        if unit.work == "tokens":
            if sequence:
                return x_BTD
            check_tokens(x_BTD.shape[TOKENS], group.size(), unit.path)
            return same_to_parts(x_BTD, TOKENS, group)
        if not sequence:
            return same_to_work(x_BTD, group)
        return parts_to_whole(x_BTD, TOKENS, group, "same" if unit.work == "whole" else "summands")

    def leave(y_BTD: Tensor) -> Tensor:
        if unit.work == "tokens":
            return y_BTD if sequence else parts_to_whole(y_BTD, TOKENS, group, "same")
        if summands:
            return summands_to_parts(y_BTD, TOKENS, group) if sequence else summands_to_same(y_BTD, group)
        return same_to_parts(y_BTD, TOKENS, group) if sequence else y_BTD

    def wrap(inner: Forward) -> Forward:
        def forward(x_BTD: Tensor, step: Step, *others: object) -> Tensor:
            x_BTD = enter(x_BTD)
            y_BTD = inner(x_BTD, step, *others)
            if moes and step.router_logits is not None:
                _join_router_logits(step.router_logits, len(moes), x_BTD, unit, group)
            return leave(y_BTD)

        return forward

    around(module, wrap)


def _output_norms(module: nn.Module) -> list[nn.Module]:
    """Norms inside a part that act on the sum of all ranks."""
    if isinstance(module, DualFfnLayer):
        return [module.dense_output_norm, module.sparse_output_norm]
    if isinstance(module, MoeLayer) and module.output_norm is not None:
        return [module.output_norm]
    return []


def _summed_first(inner: Forward, group: ProcessGroup) -> Forward:
    return lambda x: inner(summands_to_same(x, group))


def _join_router_logits(
    recorded: list[Tensor], count: int, x_BTD: Tensor, unit: Unit, group: ProcessGroup
) -> None:
    """Let what is computed of router logits, alike on all ranks, count once in the gradients."""
    for index in range(len(recorded) - count, len(recorded)):
        if unit.work == "tokens":
            logits_BTE = recorded[index].unflatten(0, x_BTD.shape[:2])
            recorded[index] = parts_to_whole(logits_BTE, TOKENS, group, "same").flatten(0, 1)
        else:
            recorded[index] = scale_gradient(recorded[index], 1 / group.size())


def _join_norm(norm: nn.Module, group: ProcessGroup) -> None:
    """Make a root-mean-square norm of one rank's features that of the features of all ranks."""
    eps = getattr(norm, "eps", None)
    assert isinstance(eps, float), "a root-mean-square norm has an epsilon"
    around(norm, lambda inner: _joint_norm(inner, eps, group))


def _joint_norm(inner: Forward, eps: float, group: ProcessGroup) -> Forward:
    def forward(x: Tensor) -> Tensor:
        own = x.float().square().mean(-1, keepdim=True)
        # Every rank needs the sum, and scales its own features by it: both passes are an all-reduce.
        joint = same_to_work(summands_to_same(own, group), group) / group.size()
        return inner(x) * ((own + eps) / (joint + eps)).sqrt().to(x.dtype)

    return forward


def _give_own_slopes(model: PreTrainedModel, base: str, plan: Plan, group: ProcessGroup) -> None:
    """Biases by distance have a slope for each head of the whole model: take those of this rank's heads."""
    made: dict[AlibiBias, AlibiBias] = {}
    for unit in plan.units:
        if unit.work != "heads":
            continue
        for mixer in model.get_submodule(unit.path).modules():
            if not isinstance(mixer, Mixer) or mixer.scoring is None:
                continue
            alibi = mixer.scoring.alibi
            if isinstance(alibi, AlibiBias):
                if alibi not in made:
                    made[alibi] = _own_slopes(plan.spec, unit.path, base, group)
                mixer.scoring = replace(mixer.scoring, alibi=made[alibi])


def _own_slopes(spec: ModelSpec, path: str, base: str, group: ProcessGroup) -> AlibiBias:
    assert isinstance(spec, DecoderSpec), "biases by distance belong to decoders"
    mixer = mixer_of(spec.blocks[int(path.removeprefix(f"{base}layers.").split(".")[0])])
    assert isinstance(mixer, Attention), "biases by distance belong to attention"
    assert isinstance(mixer.alibi, GeometricAlibi | InterleavedAlibi), "other biases are not split"
    assert mixer.scale is not None, "a share says its scale"
    ways, rank = group.size(), group.rank()
    own = AlibiBias(mixer.alibi, mixer.heads * ways, mixer.scale)
    own.slopes = own.slopes[rank * mixer.heads : (rank + 1) * mixer.heads]
    return own


def _refuse_sequence(model: PreTrainedModel, base: str) -> None:
    home = model if not base else model.get_submodule("model")
    if home._modules.get("embed_per_layer") is not None:
        raise LayoutMismatchError(
            f"{type(model).__name__} cannot be cut along the sequence over tp",
            [
                Problem(
                    where=f"{base}embed_per_layer",
                    rule="every layer reads its own embedding of each token",
                    instead="leave the stream whole",
                )
            ],
            fix="pass sequence_parallel=False",
        )
