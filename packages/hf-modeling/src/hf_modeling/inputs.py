"""The errors for calls whose inputs do not fit the model, with what was given and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

import torch
from torch import Tensor

from hf_modeling.errors import InputError, TokenIdError


class MoreInputs(TypedDict, total=False):
    """Inputs that only some encoder families read; each (B, T) if nothing else is said.

    bbox: (B, T, 4), each token's box on the page: left, top, right, bottom from 0 to 1000.
    task_type_ids, langs: which task, which language.
    global_attention_mask: 1 for tokens that look at every token and are seen by every token.
    """

    bbox: Tensor
    task_type_ids: Tensor
    langs: Tensor
    global_attention_mask: Tensor


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


def beyond_positions(tokens: int, count: int) -> InputError:
    """For texts longer than the table of positions."""
    return InputError(
        f"a text of {tokens} tokens, and this model knows {count} positions",
        fix=f"cut texts to {count} tokens: tokenizer(..., truncation=True, max_length={count})",
    )


def outside_page(bbox_BT4: Tensor, size: int) -> InputError:
    """For boxes that are not left, top, right and bottom on a page of `size` by `size`."""
    inside = bbox_BT4.shape[-1:] == (4,)
    given = (
        f"numbers from {int(bbox_BT4.min())} to {int(bbox_BT4.max())}"
        if inside
        else f"shape {tuple(bbox_BT4.shape)}"
    )
    return InputError(
        f"bbox has {given}, expected (rows, tokens, 4): left, top, right and bottom, each from 0 to {size - 1}",
        fix="scale boxes to 0..1000 of the page's width and height, with left <= right and top <= bottom",
    )


def not_columns(token_type_ids: Tensor, kinds: int) -> InputError:
    """For segments of another shape than (B, T, kinds)."""
    return InputError(
        f"token_type_ids has shape {tuple(token_type_ids.shape)}, expected (rows, tokens, {kinds})",
        fix="make them with the checkpoint's tokenizer, from a table and a question",
    )


def unread(names: Iterable[str]) -> InputError:
    """For inputs that this model does not read."""
    return InputError(
        f"this model does not read {', '.join(sorted(names))}", fix="leave out what the family does not have"
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
