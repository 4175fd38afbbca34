"""The errors for calls whose inputs do not fit the model, with what was given and what to do."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_modeling.errors import InputError, TokenIdError


def not_one_input(input_ids: Tensor | None) -> InputError:
    """For calls with neither or both of `input_ids` and `inputs_embeds`."""
    given = "neither was" if input_ids is None else "both were"
    return InputError(
        f"expected input_ids or inputs_embeds, {given} given",
        fix="pass token ids as input_ids, or vectors as inputs_embeds",
    )


def outside_vocabulary(input_ids: Tensor | None, vocabulary: int) -> TokenIdError:
    """For ids (B, T) of which some are not rows of an embedding table; names the first of them."""
    assert input_ids is not None
    where = torch.nonzero((input_ids < 0) | (input_ids >= vocabulary))[0].tolist()
    return TokenIdError(
        f"token id {int(input_ids[tuple(where)])} at row {where[0]}, position {where[-1]} is outside the "
        f"vocabulary of {vocabulary}",
        fix="use the tokenizer that belongs to this checkpoint, or model.resize_token_embeddings(len(tokenizer))",
    )


def unknown_segments() -> InputError:
    """For `token_type_ids` given to a model that has no segments."""
    return InputError(
        "token_type_ids given to a model that does not tell segments apart",
        fix="leave them out: tokenizer(..., return_token_type_ids=False)",
    )


def not_rows(given: Tensor) -> InputError:
    """For token ids that are not rows of tokens, or vectors (B, T, D) that were made of such."""
    return InputError(
        f"expected token ids as rows (B, T), or their vectors (B, T, D), of at least one token; the vectors "
        f"have shape {tuple(given.shape)}",
        fix="give a batch, even of one row: input_ids[None]",
    )


def not_ids(input_ids: Tensor) -> InputError:
    """For token ids that are not integers."""
    return InputError(f"input_ids has elements of {input_ids.dtype}", fix="give integers: input_ids.long()")
