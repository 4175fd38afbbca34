"""The loss of a batch: what it is divided by, and who computes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.loss import IGNORED
from hf_train.data.columns import inner_model, parameters_of
from hf_train.errors import TrainingDataError, TrainingModelError

LossFunction = Callable[..., Tensor]
"""`f(outputs, labels, num_items_in_batch=None)`: the loss of a batch from the model's outputs."""


@dataclass(frozen=True, kw_only=True)
class LossRule:
    """How the loss of this model is made.

    takes_items: the model divides the sum of its losses by a number it is given. Of another model it is assumed
        that its loss is a mean over the labels that are not -100, which is then weighted by how many there are.
    shifts: each label belongs to the token before it, so the first label of a row is never used.
    skips_logits: the model can give its loss without ever holding all logits.
    """

    labels: tuple[str, ...]
    takes_items: bool
    shifts: bool
    skips_logits: bool = False
    smoothing: float = 0.0
    custom: LossFunction | None = None

    @property
    def apart(self) -> bool:
        """Whether the loss is computed from the logits, outside of the model."""
        return self.custom is not None or self.smoothing > 0

    @property
    def normalizes(self) -> bool:
        """Whether the loss is divided by the number of labels that is given."""
        return self.custom is not None or self.smoothing > 0 or self.takes_items

    def items(self, inputs: Mapping[str, Any]) -> int:
        """How many labels of the batch count; for one without labels, how many rows it has."""
        if isinstance(shifted := inputs.get("shift_labels"), Tensor):
            return int((shifted != IGNORED).sum())
        for name in self.labels:
            labels = inputs.get(name)
            if not isinstance(labels, Tensor):
                continue
            if labels.is_floating_point():
                return labels.numel()
            counted = labels[..., 1:] if self.shifts and labels.ndim > 1 else labels
            return int((counted != IGNORED).sum())
        return rows_of(inputs)

    def __call__(
        self, model: nn.Module, inputs: dict[str, Any], items: Tensor | int | None, *, logits: bool
    ) -> tuple[Tensor, Any]:
        """Loss and outputs of a batch; the loss is a sum over `items` if that is given and `normalizes`.

        logits: whether the outputs' logits will be read.
        Raises TrainingModelError if the model gives no loss.
        """
        labels = None
        if self.apart:
            labels = inputs.get("labels")
            inputs = {name: value for name, value in inputs.items() if name != "labels"}
        extra: dict[str, Any] = {}
        if self.takes_items and items is not None and not self.apart:
            extra["num_items_in_batch"] = items
        if self.skips_logits and not logits and not self.apart and "labels" in inputs:
            extra["skip_logits"] = True
        outputs = model(**inputs, **extra)
        if self.custom is not None:
            return self.custom(outputs, labels, num_items_in_batch=items), outputs
        if labels is not None:
            return smoothed_loss(logits_of(outputs), labels, self.smoothing, self.shifts, items), outputs
        return loss_of(outputs, inputs, model), outputs


def loss_rule(
    model: nn.Module,
    labels: tuple[str, ...],
    *,
    smoothing: float = 0.0,
    custom: LossFunction | None = None,
    skip_logits: bool = True,
) -> LossRule:
    """How the loss of `model` is made; see `LossRule`."""
    inner = inner_model(model)
    parameters = parameters_of(inner)
    config = getattr(inner, "config", None)
    if getattr(config, "problem_type", None) == "multi_label_classification":
        smoothing = 0.0  # labels that are numbers from 0 to 1 are smoothed by whoever makes them
    return LossRule(
        labels=labels,
        takes_items=_takes_items(inner, parameters),
        shifts=_shifts(inner, config),
        skips_logits=skip_logits and "skip_logits" in parameters and type(inner).__module__.startswith("hf_"),
        smoothing=smoothing,
        custom=custom,
    )


def _takes_items(model: nn.Module, parameters: Mapping[str, inspect.Parameter]) -> bool:
    declared = getattr(model, "accepts_loss_kwargs", None)
    if isinstance(declared, bool):
        return declared
    if "num_items_in_batch" in parameters:
        return True
    # Models of the transformers library pass what they are given on to their loss.
    variable = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return variable and type(model).__module__.startswith("transformers.")


def _shifts(model: nn.Module, config: object) -> bool:
    if getattr(model, "task", None) == "causal-lm":
        return True
    kind = getattr(model, "loss_type", None)
    return kind == "ForCausalLM" and not getattr(config, "is_encoder_decoder", False)


def rows_of(inputs: Mapping[str, Any]) -> int:
    """Rows of a batch: the length of its first tensor. Raises TrainingDataError if it has none."""
    for value in inputs.values():
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    raise TrainingDataError(
        f"a batch has no tensors (its entries: {', '.join(inputs) or 'none'})",
        fix="give a data_collator that makes tensors",
    )


def logits_of(outputs: Any) -> Tensor:
    """The logits among a model's outputs."""
    if isinstance(outputs, tuple):
        return outputs[0]  # type: ignore[no-any-return]  # by the convention of models that return tuples
    logits: Tensor = outputs["logits"]
    return logits


def loss_of(outputs: Any, inputs: Mapping[str, Any], model: nn.Module) -> Tensor:
    """The loss among a model's outputs. Raises TrainingModelError if there is none."""
    if isinstance(outputs, tuple):
        loss = outputs[0] if outputs else None
    else:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(loss, Tensor):
        return loss
    given = ", ".join(inputs)
    names = parameters_of(model)
    labels = [name for name in names if "label" in name or name.endswith("_positions")]
    raise TrainingModelError(
        f"{type(inner_model(model)).__name__} gave no loss for inputs {given}",
        fix=f"add {' or '.join(labels)} to the data"
        if labels
        else "use a model with a head for the task, or give compute_loss_func",
    )


def smoothed_loss(
    logits: Tensor, labels: Tensor, smoothing: float, shifts: bool, items: Tensor | int | None = None
) -> Tensor:
    """(1 - e) * cross-entropy + e * mean over the vocabulary of -log p, over labels that are not -100.

    logits (..., V), labels (...); with `shifts` each label belongs to the logits before it. (arXiv 1512.00567)
    """
    if shifts:
        logits, labels = logits[..., :-1, :], labels[..., 1:]
    flat, kept = logits.flatten(0, -2), labels.flatten().to(logits.device)
    total = F.cross_entropy(
        flat.float(), kept, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    return total / ((kept != IGNORED).sum() if items is None else items)


def out_of_range(batch: Mapping[str, Any], names: tuple[str, ...], outputs: int) -> tuple[str, Tensor] | None:
    """The first label input with a value that is neither -100 nor below `outputs`, and where, or None."""
    for name in names:
        labels = batch.get(name)
        if isinstance(labels, Tensor) and not labels.is_floating_point() and labels.numel():
            low, high = torch.aminmax(labels)
            if int(high) >= outputs or int(low) < 0:
                wrong = ((labels >= outputs) | ((labels < 0) & (labels != IGNORED))).nonzero()
                if len(wrong):
                    return name, wrong[0]
    return None
