"""Losses and gradients that are not numbers: found before they reach the weights, and traced to where they began."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hf_train.errors import NonFiniteError

_SHOWN: Final = 16


def nonfinite_error(
    model: nn.Module, batches: Sequence[Mapping[str, Any]], rows: tuple[int, ...], step: int, loss: float
) -> NonFiniteError:
    """The error for a step whose loss or gradient is not finite; computes the batches again to see where it begins.

    model: the placed model, with the gradients of the step. rows: what the step was computed of.
    """
    module = first_bad_module(model, batches)
    what = (
        f"the loss of step {step} is {loss}"
        if not math.isfinite(loss)
        else f"a gradient of step {step} is not finite"
    )
    if module is not None:
        where = f"; the first output that is not finite is that of {module or 'the model itself'}"
    else:
        module = bad_gradient(model)
        where = "" if module is None else f"; the first such gradient is that of {module}"
    listed = ", ".join(map(str, rows[:_SHOWN])) + (f", ... ({len(rows)} rows)" if len(rows) > _SHOWN else "")
    return NonFiniteError(
        f"{what}{where}" + (f"; rows of the dataset: {listed}" if rows else ""),
        step=step,
        rows=rows,
        module=module,
        fix="look at these rows, lower the learning rate, use bf16 in place of fp16, or set on_nonfinite='skip'",
    )


@torch.no_grad()
def first_bad_module(model: nn.Module, batches: Sequence[Mapping[str, Any]]) -> str | None:
    """The name of the module whose output is the first that is not finite; None if all are."""
    with _watched(model) as found:
        for batch in batches:
            model(**batch)
            if found:
                return found[0]
    return None


def bad_gradient(model: nn.Module) -> str | None:
    """The first parameter, in the model's order, whose gradient is not finite."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return name.removeprefix("module.")
    return None


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[str]]:
    found: list[str] = []
    handles: list[RemovableHandle] = []
    for name, module in model.named_modules():
        shown = name.removeprefix("module.").removeprefix("module")

        def look(_: nn.Module, inputs: Any, output: Any, name: str = shown) -> None:
            if not found and any(not bool(t.isfinite().all()) for t in _floats(output)):
                found.append(name)

        handles.append(module.register_forward_hook(look))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _floats(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors in what a module gives; of a model's outputs the hidden states, not the masks."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _floats(part)
    elif isinstance(output, Mapping):
        for part in output.values():
            yield from _floats(part)
    else:
        to_tuple = getattr(output, "to_tuple", None)
        if to_tuple is not None:
            yield from _floats(to_tuple())
