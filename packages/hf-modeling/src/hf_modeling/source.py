"""What a decoder reads of its encoder, during one call or over many.

A rows of the encoder, S tokens of it, D width. A decoder may have several rows for each of the encoder's: beams,
or several answers to one text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.masks import OPEN, Mask


@final
@dataclass(frozen=True, slots=True)
class Source:
    """The encoder's last hidden states (A, S, D) and which of its tokens may be looked at.

    `states_ASD` is None where the cache holds all that layers make of them.
    """

    states_ASD: Tensor | None
    mask: Mask = field(default_factory=lambda: OPEN)


def source_of(states_ASD: Tensor | None, attention_mask: Tensor | None) -> Source:
    """The source of a call: states, and the mask (A, S) with which they were made; 1 marks real tokens.

    Raises:
        InputError: a mask of another shape than the states.
    """
    if attention_mask is None:
        return Source(states_ASD)
    if states_ASD is not None and attention_mask.shape != states_ASD.shape[:2]:
        raise InputError(
            f"the encoder's attention_mask has shape {tuple(attention_mask.shape)}, its states "
            f"{tuple(states_ASD.shape)}",
            fix="give the mask that the encoder was called with: one number for each of its tokens",
        )
    real_AS = attention_mask.bool()
    if bool(real_AS.all()):
        return Source(states_ASD)
    # A row without any real token would have nothing to take a mean of.
    seen_AS = real_AS | ~real_AS.any(1, keepdim=True)
    return Source(states_ASD, Mask(seen_AS[:, None, None, :]))


def absent_source() -> InputError:
    """For a decoder that has neither states to read nor a cache that has read them."""
    return InputError(
        "this decoder reads an encoder, and the call gives neither encoder_hidden_states nor a cache that holds "
        "what they were",
        fix="pass encoder_hidden_states, or call the whole encoder-decoder",
    )


def copies_of(rows: int, source_rows: int) -> int:
    """How many rows of the decoder read each row of the encoder. Raises InputError."""
    if rows % source_rows:
        raise InputError(
            f"{rows} rows of the decoder cannot share {source_rows} rows of the encoder evenly",
            fix="give both the same rows, or the decoder a multiple of them, copies side by side",
        )
    return rows // source_rows


def repeated(states: Tensor, rows_B: Tensor) -> Tensor:
    """Rows of states by number, outside of inference mode, so that any call can use them."""
    with torch.inference_mode(False):
        return states.index_select(0, rows_B)
