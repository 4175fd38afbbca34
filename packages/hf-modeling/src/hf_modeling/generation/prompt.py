"""The prompt: checked, its padding moved to the left, repeated for several answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hf_modeling.generation.errors import DeviceMismatchError, PromptError

# Axes: B sequences, T tokens, D width.


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What is generated from. Padding, if any, is on the left, so that new tokens follow real ones."""

    given: Tensor
    """Ids (B, T) as the caller gave them; they begin the answer. Without columns for embeddings."""
    ids: Tensor
    """The same with padding moved to the left."""
    mask: Tensor | None = None
    """1 for real tokens (B, T); None when all are."""
    given_mask: Tensor | None = None
    """The same for `given`."""
    embeds: Tensor | None = None
    """Embeddings (B, T, D) that stand for the ids."""
    source: Tensor | None = None
    """Ids that an encoder read (B, S); None where the prompt itself is all there is."""
    batch: int
    length: int
    """Tokens in front of the first new one, padding included."""

    @property
    def padding_B(self) -> Tensor | None:
        """How many tokens of each row are padding; None when none is."""
        return None if self.mask is None else self.mask.shape[1] - self.mask.sum(dim=1)

    @property
    def source_ids(self) -> Tensor:
        """What processors that compare with the input look at."""
        return self.ids if self.source is None else self.source

    def every(self, step: int) -> Prompt:
        """Every `step`-th row: what `repeated` was given."""
        return replace(
            self,
            batch=self.batch // step,
            given=self.given[::step],
            ids=self.ids[::step],
            mask=None if self.mask is None else self.mask[::step],
            embeds=None if self.embeds is None else self.embeds[::step],
            source=None if self.source is None else self.source[::step],
        )

    def repeated(self, times: int) -> Prompt:
        """Every row several times, copies side by side."""
        return replace(
            self,
            batch=self.batch * times,
            given=self.given.repeat_interleave(times, dim=0),
            ids=self.ids.repeat_interleave(times, dim=0),
            mask=None if self.mask is None else self.mask.repeat_interleave(times, dim=0),
            embeds=None if self.embeds is None else self.embeds.repeat_interleave(times, dim=0),
            source=None if self.source is None else self.source.repeat_interleave(times, dim=0),
        )


def prepare_prompt(
    ids: Tensor | None,
    *,
    mask: Tensor | None,
    embeds: Tensor | None,
    device: torch.device,
    vocabulary: int,
    pad: int | None,
    eos: tuple[int, ...],
    bos: int | None,
) -> Prompt:
    """The prompt to run, from what `generate` was given.

    A missing mask is worked out from padding tokens, when these cannot be meant as text. Without ids and
    embeddings the text starts with the beginning-of-text token.

    Raises:
        PromptError: no tokens, wrong shapes, ids outside of the vocabulary, a row of padding only.
        DeviceMismatchError: ids, mask or embeddings are not where the model is.
    """
    if ids is None:
        ids = _ids_without_prompt(embeds, device, bos)
    given = {"input_ids": ids, "attention_mask": mask, "inputs_embeds": embeds}
    elsewhere = {name: str(t.device) for name, t in given.items() if t is not None and t.device != device}
    if elsewhere:
        raise DeviceMismatchError({**elsewhere, "model": str(device)})
    _check(ids, embeds, vocabulary)
    if embeds is None and mask is None and pad is not None and pad not in eos:
        padded = ids != pad
        mask = None if bool(padded.all()) else padded
    batch, length = ids.shape if embeds is None else embeds.shape[:2]
    if mask is None or bool(mask.all()):
        return Prompt(given=ids, ids=ids, embeds=embeds, batch=batch, length=length)
    if mask.shape != (ids.shape[0], length):
        raise PromptError(
            f"attention_mask has shape {tuple(mask.shape)}, the prompt has {ids.shape[0]} rows of {length} tokens",
            fix="give one number, 1 or 0, for every token",
        )
    prompt = _padded_left(ids, mask.bool(), embeds)
    return replace(prompt, given_mask=mask)


def _ids_without_prompt(embeds: Tensor | None, device: torch.device, bos: int | None) -> Tensor:
    if embeds is not None:
        return torch.empty(embeds.shape[0], 0, dtype=torch.long, device=embeds.device)
    if bos is None:
        raise PromptError(
            "there is no prompt, and no bos_token_id to start with", fix="pass input_ids, or bos_token_id=..."
        )
    return torch.full((1, 1), bos, dtype=torch.long, device=device)


def _check(ids: Tensor, embeds: Tensor | None, vocabulary: int) -> None:
    if ids.ndim != 2 or ids.dtype not in (torch.long, torch.int):
        raise PromptError(
            f"input_ids are {ids.dtype} of shape {tuple(ids.shape)}, expected integers (sequences, tokens)",
            fix="pass a 2-d tensor of token ids, such as tokenizer(..., return_tensors='pt').input_ids",
        )
    if embeds is not None:
        if ids.shape[1] or embeds.ndim != 3 or embeds.shape[1] == 0:
            raise PromptError(
                f"inputs_embeds have shape {tuple(embeds.shape)}, expected (sequences, tokens, width) without "
                "input_ids beside them",
                fix="pass either input_ids or inputs_embeds",
            )
        return
    if ids.numel() == 0:
        raise PromptError(
            f"the prompt is empty: input_ids have shape {tuple(ids.shape)}",
            fix="start with at least one token, such as bos_token_id",
        )
    low, high = (int(edge) for edge in ids.aminmax())
    if low < 0 or high >= vocabulary:
        wrong = high if high >= vocabulary else low
        row, column = (int(i) for i in (ids == wrong).nonzero()[0])
        raise PromptError(
            f"token id {wrong} in row {row}, position {column} is outside of the model's vocabulary of {vocabulary}",
            fix="use the model's own tokenizer, or resize_token_embeddings(len(tokenizer))",
        )


def _padded_left(ids: Tensor, real: Tensor, embeds: Tensor | None) -> Prompt:
    """Rows with their padding moved to the left, the order of real tokens kept."""
    counts = real.sum(dim=1)
    if not bool(counts.all()):
        row = int((counts == 0).nonzero()[0])
        raise PromptError(f"row {row} of the prompt is padding only", fix="leave the row out")
    order = real.int().argsort(dim=1, stable=True)
    mask = real.gather(1, order)
    if embeds is not None:
        moved = embeds.gather(1, order[..., None].expand_as(embeds))
        return Prompt(
            given=ids, ids=ids, mask=mask.long(), embeds=moved, batch=mask.shape[0], length=mask.shape[1]
        )
    moved = ids.gather(1, order)
    return Prompt(given=ids, ids=moved, mask=mask.long(), batch=mask.shape[0], length=mask.shape[1])
