"""`fill-mask`: the likeliest tokens for each mask of a text.

Axes: B rows, T tokens, V vocabulary, M masks of a text, C candidates, K the best of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, Unpack, final, overload

import torch
from torch import Tensor

from hf_pipelines.base import Inputs, Pipeline, Results, is_text
from hf_pipelines.errors import MissingTokenError, OptionValueError
from hf_pipelines.records import MaskFill
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model

Proposals: TypeAlias = list[tuple[float, int]]
MaskFills: TypeAlias = list[MaskFill] | list[list[MaskFill]]


class FillMaskOptions(TextOptions, total=False):
    """Options of `fill-mask`.

    top_k: how many proposals for each mask (default 5).
    targets: only these tokens are proposed, with their probabilities among the whole vocabulary. Each must be
        one token of the vocabulary.
    """

    top_k: int
    targets: str | list[str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FillMaskTask:
    """One call of `fill-mask`."""

    text: TextModel
    truncation: bool
    mask_id: int
    top_k: int
    target_ids_C: Tensor | None

    def preprocess(self, inputs: Sequence[str]) -> list[list[TokenRow]]:
        """One row for each text. Raises MissingTokenError for a text without a mask."""
        rows = self.text.rows(inputs, truncation=self.truncation)
        for text, row in zip(inputs, rows, strict=True):
            if self.mask_id not in row.input_ids:
                mask = self.text.tokenizer.mask_token
                raise MissingTokenError(
                    f"there is no {mask} in the text {text[:60]!r}", fix=f"put {mask} where a word is sought"
                )
        return [[row] for row in rows]

    def length(self, chunk: TokenRow) -> int:
        """Tokens."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> list[list[Proposals]]:
        """For each mask of each row the best candidates; nothing of vocabulary size outlives the pass."""
        logits_BTV = self.text.logits(self.text.batch(chunks))
        return [self._proposals(logits_BTV[row, self._masks(chunk)]) for row, chunk in enumerate(chunks)]

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[list[Proposals]]) -> MaskFills:
        """Proposals of the only mask, or a list of them for each mask."""
        row, masks = chunks[0], self._masks(chunks[0])
        fills = [
            [self._fill(row, place, score, token, alone=len(masks) == 1) for score, token in proposals]
            for place, proposals in zip(masks, raws[0], strict=True)
        ]
        return fills[0] if len(fills) == 1 else fills

    def _proposals(self, logits_MV: Tensor) -> list[Proposals]:
        scores_MC = logits_MV.softmax(-1)
        if self.target_ids_C is not None:
            scores_MC = scores_MC[:, self.target_ids_C]
        best = scores_MC.topk(min(self.top_k, scores_MC.shape[1]))
        tokens_MK = best.indices if self.target_ids_C is None else self.target_ids_C[best.indices]
        return [
            list(zip(scores, tokens, strict=True))
            for scores, tokens in zip(best.values.tolist(), tokens_MK.tolist(), strict=True)
        ]

    def _masks(self, row: TokenRow) -> list[int]:
        return [place for place, token in enumerate(row.input_ids) if token == self.mask_id]

    def _fill(self, row: TokenRow, place: int, score: float, token: int, *, alone: bool) -> MaskFill:
        tokenizer = self.text.tokenizer
        filled = [*row.input_ids[:place], token, *row.input_ids[place + 1 :]]
        return {
            "score": score,
            "token": token,
            "token_str": tokenizer.decode([token]),
            # With several masks the others must stay visible, so special tokens are kept.
            "sequence": tokenizer.decode(filled, skip_special_tokens=alone),
        }


@final
class FillMaskPipeline(Pipeline[str, MaskFills, FillMaskOptions]):
    """The `top_k` likeliest tokens for the mask of a text, best first; one such list for each of several."""

    task: ClassVar[str] = "fill-mask"
    option_names: ClassVar[frozenset[str]] = FillMaskOptions.__optional_keys__

    @overload
    def __call__(self, inputs: str, **options: Unpack[FillMaskOptions]) -> MaskFills: ...
    @overload
    def __call__(self, inputs: list[str], **options: Unpack[FillMaskOptions]) -> list[MaskFills]: ...
    @overload
    def __call__(self, inputs: Iterator[str], **options: Unpack[FillMaskOptions]) -> Iterator[MaskFills]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[FillMaskOptions]
    ) -> AsyncIterator[MaskFills]: ...
    def __call__(self, inputs: Inputs[str], **options: Unpack[FillMaskOptions]) -> Results[MaskFills]:
        """Proposals for the masks of one text, a list, or a stream of texts."""
        return self._run(inputs, options)

    def _task(self, options: FillMaskOptions) -> FillMaskTask:
        mask_id = self.tokenizer.mask_token_id
        if mask_id is None:
            raise MissingTokenError(
                "the tokenizer has no mask token, so it cannot mark what to fill in",
                fix="choose a checkpoint trained to fill masks",
            )
        top_k = options.get("top_k", 5)
        if top_k < 1:
            raise OptionValueError(f"top_k={top_k} asks for no proposal", fix="pass 1 or more")
        targets = options.get("targets")
        return FillMaskTask(
            text=text_model(self.task, self.parts),
            truncation=options.get("truncation", False),
            mask_id=mask_id,
            top_k=top_k,
            target_ids_C=None if targets is None else self._target_ids(targets),
        )

    def _target_ids(self, targets: str | list[str]) -> Tensor:
        words = [targets] if isinstance(targets, str) else targets
        if not words:
            raise OptionValueError("targets is an empty list", fix="leave it out, or name at least one token")
        return torch.tensor(list(dict.fromkeys(map(self._target_id, words))))

    def _target_id(self, word: str) -> int:
        """The id of a token as the vocabulary spells it, or of a word that is a single token."""
        unknown = self.tokenizer.unk_token_id
        if unknown is not None:
            known = self.tokenizer.convert_tokens_to_ids(word)
            if known != unknown:
                return known
        ids = self.tokenizer.encode(word, add_special_tokens=False)
        if len(ids) == 1 and ids[0] != unknown:
            return ids[0]
        pieces = self.tokenizer.convert_ids_to_tokens(ids)
        raise OptionValueError(
            f"the target {word!r} is not one token of the vocabulary but {pieces}",
            fix=f"use {pieces[0]!r} if its first piece is meant" if pieces else "leave it out",
        )

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)
