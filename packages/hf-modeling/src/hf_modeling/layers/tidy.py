"""Padding for mixers that carry a state: each row's real tokens moved to the front while they run.

A state must see a row's real tokens in order and nothing else. Moving them to the front makes every kind of
padding trailing padding, which cannot reach a real token; what remains is to keep it out of the state.

B batch, T tokens, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from hf_modeling.errors import InputError

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class Tidy:
    """Where each row's real tokens go, and back.

    real_BT: after the move, which positions hold real tokens: the first `lengths_B` of each row.
    """

    __slots__ = ("_order_BT1", "_places_BT1", "lengths_B", "real_BT")

    def __init__(self, valid_BT: Tensor) -> None:
        order_BT = (~valid_BT).to(torch.uint8).argsort(dim=1, stable=True)
        self._order_BT1 = order_BT.unsqueeze(-1)
        self._places_BT1 = order_BT.argsort(dim=1).unsqueeze(-1)
        self.lengths_B = valid_BT.sum(1)
        self.real_BT = valid_BT.gather(1, order_BT)

    def front(self, x_BTD: Tensor) -> Tensor:
        """Real tokens first, zeros after them."""
        moved = x_BTD.gather(1, self._order_BT1.expand_as(x_BTD))
        return moved * self.real_BT.unsqueeze(-1)

    def back(self, x_BTD: Tensor) -> Tensor:
        """Every token where it was."""
        return x_BTD.gather(1, self._places_BT1.expand_as(x_BTD))


def tidied(run: Callable[[Tensor, Step, Tidy | None], Tensor], x_BTD: Tensor, step: Step) -> Tensor:
    """What `run` makes of the input with each row's real tokens in front.

    Raises:
        InputError: rows hold several packed sequences, whose states would run into each other.
    """
    if step.segments_BT is not None:
        raise InputError(
            "packed sequences reach a mixer that carries one state per row",
            fix="give each sequence a row of its own, padded, with an attention_mask",
        )
    if step.valid_BS is None or step.new == 1:
        return run(x_BTD, step, None)
    valid_BT = step.valid_BS[:, -step.new :]
    tidy = step.once("tidy", lambda: Tidy(valid_BT))
    return tidy.back(run(tidy.front(x_BTD), step, tidy))


def recall(step: Step, layer: int, name: str) -> Tensor | None:
    """A layer's state from the steps before; None at the start, and without a cache."""
    return None if step.cache is None else step.cache.get(layer, name)


def remember(step: Step, layer: int, name: str, value: Tensor) -> None:
    """Keep a layer's state for the steps to come, if there is a cache."""
    if step.cache is not None:
        step.cache.put(layer, name, value)
