"""Checks on what a model is called with, and token ids to embeddings with an error that names the id."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hf_modeling.errors import InputError, TokenIdError


def embedded(table: nn.Embedding, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
    """Embeddings (B, T, D) of the ids, or the embeddings given instead of them.

    Raises:
        InputError: neither or both are given, or ids are not (B, T).
        TokenIdError: an id is not in the table (on a CPU; elsewhere the device decides).
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise InputError(
            f"input_ids and inputs_embeds: {given} given, expected one of them",
            fix="pass token ids as input_ids, or vectors as inputs_embeds",
        )
    if input_ids is None:
        assert inputs_embeds is not None
        return inputs_embeds
    if input_ids.ndim != 2:
        raise InputError(
            f"input_ids has shape {tuple(input_ids.shape)}, expected (rows, tokens)",
            fix="add a batch axis: input_ids[None]",
        )
    try:
        vectors: Tensor = table(input_ids)
    except IndexError:
        raise _outside(input_ids, table.num_embeddings) from None
    return vectors


def unknown_segments() -> InputError:
    """The error for `token_type_ids` given to a model that has no segments."""
    return InputError(
        "token_type_ids given to a model that does not tell segments apart",
        fix="leave them out: tokenizer(..., return_token_type_ids=False)",
    )


def _outside(input_ids: Tensor, vocabulary: int) -> TokenIdError:
    row, column = torch.nonzero((input_ids < 0) | (input_ids >= vocabulary))[0].tolist()
    return TokenIdError(
        f"token id {int(input_ids[row, column])} at row {row}, position {column} is outside the vocabulary of "
        f"{vocabulary}",
        fix="use the tokenizer that belongs to this checkpoint, or model.resize_token_embeddings(len(tokenizer))",
    )
