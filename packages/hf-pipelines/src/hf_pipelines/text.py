"""Texts to rows of tokens, rows to one padded batch on the model's device, batches through the model.

Axes: B rows, T tokens, D width, V classes or vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, final

import torch
from torch import Tensor

from hf_modeling.model import PreTrainedModel
from hf_pipelines.base import CallOptions
from hf_pipelines.errors import EmptyInputError, InputTooLongError, InputTypeError
from hf_pipelines.load import LengthLimit, Parts
from hf_tokenize import Encoding, PreTrainedTokenizer


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """The tokens of one text, pair or window, special tokens included."""

    input_ids: list[int]
    token_type_ids: list[int] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A text, or one window of it, with what the tokenizer knows about each of its tokens."""

    row: TokenRow
    encoding: Encoding

    def __len__(self) -> int:
        return len(self.row)


class TextOptions(CallOptions, total=False):
    """Options of tasks that read texts.

    truncation: cut texts that are longer than the model allows (default False: such a text is an error).
    """

    truncation: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TextBatch:
    """Rows padded together; a field is None where the model's default says the same."""

    input_ids_BT: Tensor
    token_type_ids_BT: Tensor | None
    attention_mask_BT: Tensor | None

    def mask_BT(self) -> Tensor:
        """True where a token is real."""
        if self.attention_mask_BT is None:
            return torch.ones_like(self.input_ids_BT, dtype=torch.bool)
        return self.attention_mask_BT.bool()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel:
    """A model that reads whole texts, with its tokenizer and the length both allow."""

    task: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizer
    limit: LengthLimit

    def rows(self, texts: Sequence[str], *, truncation: bool) -> list[TokenRow]:
        """One row for each text.

        Raises InputTypeError for what is not text, EmptyInputError for a text without a token,
        InputTooLongError unless told to truncate.
        """
        self.check_texts(texts)
        if truncation:
            encoding = self.tokenizer(list(texts), truncation=True, max_length=self.limit.tokens)
        else:
            encoding = self.tokenizer(list(texts), truncation=False)
        return self._checked(token_rows(encoding["input_ids"], encoding.get("token_type_ids")))

    def pair_rows(
        self, pairs: Sequence[tuple[str, str | None]], *, truncation: bool | Literal["only_first"]
    ) -> list[TokenRow]:
        """One row for each pair; a second text of None makes it a row of the first alone. Raises as
        `rows`.
        """
        singles = [first for first, second in pairs if second is None]
        doubles = [(first, second) for first, second in pairs if second is not None]
        self.check_texts(text for pair in doubles for text in pair)
        single_rows = iter(self.rows(singles, truncation=truncation is not False) if singles else ())
        double_rows = iter(self._double_rows(doubles, truncation) if doubles else ())
        return [next(single_rows if second is None else double_rows) for _, second in pairs]

    def _double_rows(
        self, pairs: Sequence[tuple[str, str]], truncation: bool | Literal["only_first"]
    ) -> list[TokenRow]:
        firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
        if truncation:
            encoding = self.tokenizer(firsts, seconds, truncation=truncation, max_length=self.limit.tokens)
        else:
            encoding = self.tokenizer(firsts, seconds, truncation=False)
        return self._checked(token_rows(encoding["input_ids"], encoding.get("token_type_ids")))

    def _checked(self, rows: list[TokenRow]) -> list[TokenRow]:
        for row in rows:
            if not row.input_ids:
                raise EmptyInputError(
                    f"{self.task!r} got a text without a token", fix="leave out empty texts"
                )
            if len(row) > self.limit.tokens:
                fix = "pass truncation=True to cut the end off, or split the text"
                raise InputTooLongError(len(row), self.limit.tokens, self.limit.source, fix)
        return rows

    def pieces(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, stride: int
    ) -> list[list[Piece]]:
        """The windows of each text, or of the second text of each pair, that fit and share `stride` tokens.

        A text that fits whole is its only window. Raises InputTypeError, EmptyInputError; OptionError of hf-
        tokenize where the stride leaves no progress or the first text no room.
        """
        self.check_texts(texts)
        self.check_texts(pairs or ())
        encoding = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True if pairs is None else "only_second",
            max_length=self.limit.tokens,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        rows = self._checked(token_rows(encoding["input_ids"], encoding.get("token_type_ids")))
        pieces: list[list[Piece]] = [[] for _ in texts]
        samples = cast("list[int]", encoding["overflow_to_sample_mapping"])
        for sample, row, details in zip(samples, rows, encoding.encodings, strict=True):
            pieces[sample].append(Piece(row=row, encoding=details))
        return pieces

    def check_texts(self, texts: Iterable[object]) -> None:
        """Raise InputTypeError for the first of the inputs that is not text."""
        for text in texts:
            if not isinstance(text, str):
                raise InputTypeError(self.task, "text", text)

    def batch(self, rows: Sequence[TokenRow]) -> TextBatch:
        """The rows padded on the right, on the model's device."""
        pad = self.tokenizer.pad_token_id
        # Padding is masked everywhere, so a tokenizer without a pad token may use any id.
        return collate(rows, pad_token_id=0 if pad is None else pad, device=self.model.device)

    def hidden(self, batch: TextBatch) -> Tensor:
        """Hidden states [B, T, D] of the last layer."""
        hidden_BTD: Tensor = self._forward(batch).last_hidden_state
        return hidden_BTD

    def logits(self, batch: TextBatch) -> Tensor:
        """What the model's head says, in float32 on the CPU."""
        logits: Tensor = self._forward(batch).logits
        return logits.float().cpu()

    def span_logits(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """Start and end logits [B, T] of a question answering head, in float32 on the CPU."""
        output = self._forward(batch)
        return output.start_logits.float().cpu(), output.end_logits.float().cpu()

    def _forward(self, batch: TextBatch) -> Any:  # each head returns an output class of its own
        types = {} if batch.token_type_ids_BT is None else {"token_type_ids": batch.token_type_ids_BT}
        return self.model(batch.input_ids_BT, attention_mask=batch.attention_mask_BT, **types)


def text_model(task: str, parts: Parts, limit: LengthLimit | None = None) -> TextModel:
    """The model and tokenizer of a pipeline under the tighter of their own length limits, or under
    `limit`.
    """
    return TextModel(task=task, model=parts.model, tokenizer=parts.tokenizer, limit=limit or parts.limit)


def token_rows(input_ids: Sequence[list[int]], token_type_ids: Sequence[list[int]] | None) -> list[TokenRow]:
    """Rows from the parallel lists that a tokenizer gives."""
    if token_type_ids is None:
        return [TokenRow(input_ids=ids) for ids in input_ids]
    return [
        TokenRow(input_ids=ids, token_type_ids=kinds)
        for ids, kinds in zip(input_ids, token_type_ids, strict=True)
    ]


def collate(
    rows: Sequence[TokenRow], *, pad_token_id: int, device: torch.device, left: bool = False
) -> TextBatch:
    """One batch on the device, padded on the right, or on the left for generation."""
    lengths = [len(row) for row in rows]
    width = max(lengths)

    def tensor(values: Sequence[list[int]], filler: int) -> Tensor:
        gaps = ([filler] * (width - length) for length in lengths)
        padded = [gap + row if left else row + gap for row, gap in zip(values, gaps, strict=True)]
        return torch.tensor(padded, dtype=torch.long, device=device)

    kinds = [row.token_type_ids for row in rows if row.token_type_ids is not None]
    return TextBatch(
        input_ids_BT=tensor([row.input_ids for row in rows], pad_token_id),
        # A single text has only tokens of type 0, which is every model's default.
        token_type_ids_BT=tensor(kinds, 0) if any(map(any, kinds)) else None,
        attention_mask_BT=tensor([[1] * length for length in lengths], 0) if min(lengths) < width else None,
    )
