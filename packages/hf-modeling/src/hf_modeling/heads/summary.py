"""One vector for each text, for heads that judge texts whole. B batch, T tokens, D width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never, final

import torch
from torch import Tensor

from hf_modeling.encoder import first_token
from hf_modeling.outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling
from hf_modeling.spec import TextHead

BaseOutput = BaseModelOutputWithPast | BaseModelOutputWithPooling
Summary = Callable[[BaseOutput, Tensor | None, Tensor | None], Tensor]
"""From what the base model gave, the attention mask and the token ids to one vector per row, (B, D)."""


def summary_of(spec: TextHead) -> Summary:
    """What a head of an encoder reads."""
    match spec.reads:
        case "pooler":
            return pooled
        case "first":
            return first
        case "last":
            return LastToken(None)
        case "mean":
            return mean
        case _:
            assert_never(spec.reads)


def pooled(base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
    """The pooler's output."""
    assert isinstance(base, BaseModelOutputWithPooling)
    assert base.pooler_output is not None
    return base.pooler_output


def first(base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
    """The state of the first real token."""
    return first_token(base.last_hidden_state, attention_mask)


def mean(base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
    """The mean state of the real tokens."""
    h_BTD = base.last_hidden_state
    if attention_mask is None:
        return h_BTD.mean(1)
    real_BT1 = attention_mask.to(h_BTD.dtype).unsqueeze(-1)
    return (h_BTD * real_BT1).sum(1) / real_BT1.sum(1).clamp(min=1)


@final
@dataclass(frozen=True, slots=True)
class LastToken:
    """The hidden state of each row's last real token, wherever its padding is.

    The mask says which tokens are real; without one, those that are not the padding token are.
    """

    pad_token_id: int | None

    def __call__(self, base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
        h_BTD = base.last_hidden_state
        if attention_mask is not None:
            real_BT = attention_mask.bool()
        elif input_ids is not None and self.pad_token_id is not None:
            real_BT = input_ids != self.pad_token_id
        else:
            return h_BTD[:, -1]
        order_T = torch.arange(h_BTD.shape[1], device=h_BTD.device)
        last_B = (order_T * real_BT).argmax(-1)
        return h_BTD[torch.arange(h_BTD.shape[0], device=h_BTD.device), last_B]
