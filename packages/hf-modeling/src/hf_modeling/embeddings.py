"""The vocabulary's weights: finding them, sharing them between input and output, changing their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hf_modeling.weights.slots import Slot, find_slots

if TYPE_CHECKING:
    from hf_modeling.model import PreTrainedModel

OUTPUT = "lm_head"
PER_TOKEN = (f"{OUTPUT}.", "logits_bias.")
"""How names begin of what has a row for each token, beside embeddings."""


def input_embeddings(model: PreTrainedModel) -> nn.Module:
    """The module that turns token ids into vectors; its `weight` is (vocabulary, width)."""
    return model.get_submodule(input_path(model))


def output_embeddings(model: PreTrainedModel) -> nn.Module | None:
    """The module that turns hidden states into logits over the vocabulary; None if the model has none."""
    return model._modules.get(OUTPUT)


def tie(model: PreTrainedModel) -> None:
    """Let the output use the input's weight, if the config says that they are one.

    Families whose files may contradict the config (T5) are left as they were loaded.
    """
    output = output_embeddings(model)
    if not model.config.tie_word_embeddings or output is None or "weight" not in output._parameters:
        return
    if f"{OUTPUT}.weight" not in model.weight_table().may_differ:
        output._parameters["weight"] = input_embeddings(model)._parameters["weight"]


@torch.no_grad()
def resize(model: PreTrainedModel, rows: int, *, mean: bool, std: float) -> None:
    """Give every tensor with a row per token `rows` rows; new ones are the old ones' mean, or random."""
    slots, ties = find_slots(model)
    table = f"{input_path(model)}.weight"
    owner = ties.get(table, table)
    old = slots[owner].tensor.shape[0]
    for name, slot in slots.items():
        in_head = name.startswith(PER_TOKEN) and slot.tensor.shape[:1] == (old,)
        if not in_head and owner not in (name, ties.get(name)):
            continue
        if name in ties:
            slot.put(slots[ties[name]].tensor)
        elif slot.is_parameter:
            new = _resized(slot.tensor, rows, mean, std)
            slot.put(nn.Parameter(new, requires_grad=slot.tensor.requires_grad))
        else:
            slot.put(_resized(slot.tensor, rows, mean=False, std=0.0))
        _count(slot, rows)


def input_path(model: PreTrainedModel) -> str:
    """The dotted name of the module that turns token ids into vectors."""
    return model.tokens if model.is_base else f"model.{model.tokens}"


def replace_input(model: PreTrainedModel, module: nn.Module) -> None:
    """Put another module in place of the one that turns token ids into vectors; what shared its weight follows."""
    path = input_path(model)
    slots, ties = find_slots(model)
    owner = ties.get(f"{path}.weight", f"{path}.weight")
    parent, _, name = path.rpartition(".")
    model.get_submodule(parent).add_module(name, module)
    for other, slot in slots.items():
        if ties.get(other) == owner:
            slot.owner._parameters[slot.name] = module._parameters["weight"]


def _resized(old: Tensor, rows: int, mean: bool, std: float) -> Tensor:
    """A copy with `rows` rows."""
    new = old.new_empty((rows, *old.shape[1:]))
    kept = min(rows, old.shape[0])
    new[:kept] = old[:kept]
    if rows > kept and mean and kept:
        new[kept:] = old.float().mean(0).to(old.dtype)
    elif rows > kept:
        new[kept:].normal_(std=std if old.ndim > 1 else 0.0)
    return new


def _count(slot: Slot, rows: int) -> None:
    match slot.owner:
        case nn.Embedding() as table:
            table.num_embeddings = rows
        case nn.Linear() as projection:
            projection.out_features = rows
        case _:
            pass
