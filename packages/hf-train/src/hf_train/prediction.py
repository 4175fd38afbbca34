"""One batch of evaluation: loss, logits and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hf_train.data.columns import inner_model, parameters_of
from hf_train.evaluation.gather import mapped

if TYPE_CHECKING:
    from hf_train.trainer import Trainer


@torch.no_grad()
def predict_batch(
    trainer: Trainer,
    model: nn.Module,
    inputs: dict[str, Any],
    loss_only: bool,
    ignore_keys: Sequence[str] | None,
) -> tuple[Tensor | None, Any, Any]:
    """Loss, logits and labels of a batch; see `Trainer.prediction_step`."""
    names = trainer.label_names
    has_labels = bool(names) and all(inputs.get(name) is not None for name in names)
    # Models such as CLIP find their loss in the batch itself.
    returns_loss = not names and bool(inputs.get("return_loss", _returns_loss(model)))
    inputs = trainer.prepare_inputs(inputs)
    if trainer.takes_cache and not trainer.args.use_cache:
        inputs.setdefault("use_cache", False)
    labels = None
    if has_labels:
        found = tuple(inputs[name].detach() for name in names)
        labels = found[0] if len(found) == 1 else found
    loss = None
    with trainer.compute_loss_context_manager():
        if has_labels or returns_loss:
            items = trainer.loss_rule.items(inputs) or None
            # The loss alone needs no logits, and then a model may do without them.
            if loss_only:
                loss = trainer.compute_loss(model, inputs, num_items_in_batch=items)
                return loss.detach().mean(), None, None
            loss, outputs = trainer.compute_loss(model, inputs, return_outputs=True, num_items_in_batch=items)
            loss = loss.detach().mean()
        else:
            outputs = model(**inputs)
    if loss_only:
        return loss, None, None
    ignored = list(ignored_keys(model) if ignore_keys is None else ignore_keys)
    logits = kept_outputs(outputs, [*ignored, "loss"] if loss is not None else ignored)
    return loss, logits, labels


def ignored_keys(model: nn.Module) -> Sequence[str]:
    """Names of outputs that are not predictions."""
    config = getattr(inner_model(model), "config", None)
    keys = getattr(config, "keys_to_ignore_at_inference", None)
    return keys if isinstance(keys, list | tuple) else ["past_key_values"]


def kept_outputs(outputs: Any, ignored: Sequence[str]) -> Any:
    """The outputs that are predictions, detached and in float32 or wider; a single one by itself."""
    if isinstance(outputs, Tensor):
        kept: tuple[Any, ...] = (outputs,)
    elif isinstance(outputs, tuple | list):
        kept = tuple(outputs[1:] if "loss" in ignored else outputs)
    elif isinstance(outputs, Mapping):
        kept = tuple(value for name, value in outputs.items() if name not in ignored)
    else:
        kept = tuple(outputs[name] for name in outputs.keys() if name not in ignored)  # noqa: SIM118 - no mapping
    if not kept:
        return None
    kept = mapped(lambda tensor: tensor.detach(), kept)
    return kept[0] if len(kept) == 1 else kept


def _returns_loss(model: nn.Module) -> bool:
    parameter = parameters_of(model).get("return_loss")
    return parameter is not None and parameter.default is True
