"""Sorting parameters into groups by what an optimizer does with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from hf_train.optim.base import Group, Parameters
from hf_train.optim.errors import OptimizerError


def as_groups(params: Parameters) -> list[Group]:
    """Parameter groups, one if `params` are tensors. Raises OptimizerError if there is nothing to train."""
    listed = list(params)
    groups: list[Group] = [dict(entry) for entry in listed if isinstance(entry, dict)]
    tensors = [entry for entry in listed if isinstance(entry, Tensor)]
    if tensors:
        groups.append({"params": tensors})
    for group in groups:
        group["params"] = list(group["params"])
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise OptimizerError("there is no parameter to optimize", fix="check requires_grad of the parameters")
    return groups


def split_groups(groups: Iterable[Group], chosen: Callable[[Tensor], bool], settings: Group) -> list[Group]:
    """The same groups, with the chosen tensors of each in a group of their own that also has `settings`."""
    result: list[Group] = []
    for group in groups:
        inside = [param for param in group["params"] if chosen(param)]
        outside = [param for param in group["params"] if not chosen(param)]
        if outside:
            result.append({**group, "params": outside})
        if inside:
            result.append({**group, **settings, "params": inside})
    return result


def linear_weights(model: nn.Module, targets: str | Sequence[str]) -> set[Tensor]:
    """The weights of the linear layers that `targets` name.

    A text is "all-linear" or a regular expression that must match a module's whole name; of several names each
    matches a module whose name contains it.

    Raises:
        OptimizerError: no linear layer is named so.
    """
    if isinstance(targets, str):
        every = targets.replace("_", "-") == "all-linear"
        found = {
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and (every or re.fullmatch(targets, name))
        }
    else:
        found = {
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and any(target in name for target in targets)
        }
    if not found:
        names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        raise OptimizerError(
            f"optim_target_modules={targets!r} names no linear layer",
            fix=f"there are, for example: {', '.join(names[:3]) or 'none at all'}; 'all-linear' takes them all",
        )
    return {weight for weight in found if weight.requires_grad}


def hidden_matrices(model: nn.Module) -> set[Tensor]:
    """Weights of the linear layers between embedding and output, the matrices that Muon is for."""
    outside = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    heads = {id(module.weight) for name, module in model.named_modules() if _is_head(name, module)}
    return {
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.weight not in outside and id(module.weight) not in heads
    }


def _is_head(name: str, module: nn.Module) -> bool:
    last = name.rpartition(".")[2]
    return isinstance(module, nn.Linear) and last in {
        "lm_head",
        "score",
        "classifier",
        "qa_outputs",
        "decoder",
    }
