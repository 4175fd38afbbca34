"""The vocabulary's weights: finding them, sharing them between input and output, changing their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hf_modeling.weights.slots import Slot, find_slots

if TYPE_CHECKING:
    from hf_modeling.model import PreTrainedModel

INPUT, OUTPUT = "embed_tokens", "lm_head"


def input_embeddings(model: PreTrainedModel) -> nn.Module:
    """The module that turns token ids into vectors; its `weight` is (vocabulary, width)."""
    return model.get_submodule(INPUT if model.task == "base" else f"model.{INPUT}")


def output_embeddings(model: PreTrainedModel) -> nn.Module | None:
    """The module that turns hidden states into logits over the vocabulary; None if the model has none."""
    return model._modules.get(OUTPUT)


def tie(model: PreTrainedModel) -> None:
    """Let the output use the input's weight, if the config says that they are one."""
    output = output_embeddings(model)
    if model.config.tie_word_embeddings and output is not None and "weight" in output._parameters:
        output._parameters["weight"] = input_embeddings(model)._parameters["weight"]


@torch.no_grad()
def resize(model: PreTrainedModel, rows: int, *, mean: bool, std: float) -> None:
    """Give every tensor with a row per token `rows` rows; new ones are the old ones' mean, or random."""
    slots, ties = find_slots(model)
    path = INPUT if model.task == "base" else f"model.{INPUT}"
    old = slots[f"{path}.weight"].tensor.shape[0]
    for name, slot in slots.items():
        in_head = name.startswith(f"{OUTPUT}.") and slot.tensor.shape[:1] == (old,)
        if not in_head and name != f"{path}.weight":
            continue
        if name in ties:
            slot.put(slots[ties[name]].tensor)
        else:
            new = _resized(slot.tensor, rows, mean, std)
            slot.put(nn.Parameter(new, requires_grad=slot.tensor.requires_grad))
        _count(slot, rows)


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
