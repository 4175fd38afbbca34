"""Learning from answers alone: labels of -100 wherever the model is not the one speaking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import final

from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.chat.render import Conversation
from hf_train.collators.common import (
    IGNORED,
    Batch,
    CollatorError,
    Kind,
    Row,
    delivered,
    label_column,
    padded,
    plain,
)


def chat_row(
    tokenizer: PreTrainedTokenizer,
    conversation: Conversation,
    *,
    max_length: int | None = None,
    last_only: bool = False,
) -> dict[str, list[int]]:
    """A conversation as a training row: `input_ids`, `attention_mask`, and `labels` for the assistant's words.

    The words are found by the tokenizer while it renders its chat template, so any template works, without marks
    in it. `last_only`: learn the last answer only.

    Raises:
        ChatTemplateError: the assistant says nothing.
        CollatorError: nothing it says is left after cutting to `max_length`.
    """
    encoded = tokenizer.apply_chat_template(
        conversation,
        return_assistant_tokens_mask=True,
        truncation=max_length is not None,
        max_length=max_length,
    )
    ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    if last_only:
        end = len(mask) - mask[::-1].index(1) if 1 in mask else 0
        begin = end
        while begin and mask[begin - 1]:
            begin -= 1
        mask = [int(begin <= index < end) for index in range(len(mask))]
    if 1 not in mask:
        raise CollatorError(
            f"of a conversation of {len(conversation)} messages, cut to {max_length} tokens, no answer is left",
            fix="raise max_length",
        )
    labels = [token if spoken else IGNORED for token, spoken in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


def completion_row(
    tokenizer: PreTrainedTokenizer, prompt: str, completion: str, *, max_length: int | None = None
) -> dict[str, list[int]]:
    """A prompt and its completion as a training row, with labels for the completion and the end of text.

    The two are encoded as one text, so tokens are those of the whole; a token that spans the border counts as
    prompt. The end-of-text token is added if the tokenizer has one and did not add it.
    """
    encoded = tokenizer(prompt + completion, return_offsets_mapping=True)
    ids, spans = plain(encoded["input_ids"]), plain(encoded["offset_mapping"])
    border = len(prompt)
    spoken = [start >= border and end > start for start, end in spans]
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids, spoken = [*ids, tokenizer.eos_token_id], [*spoken, True]
    elif spoken and ids[-1] == tokenizer.eos_token_id:
        spoken[-1] = True
    ids, spoken = ids[:max_length], spoken[:max_length]
    if not any(spoken):
        raise CollatorError("no token of the completion is left to learn from", fix="raise max_length")
    labels = [token if said else IGNORED for token, said in zip(ids, spoken, strict=True)]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


@final
@dataclass(frozen=True)
class DataCollatorForCompletionOnlyLM:
    """Pads rows; labels are -100 up to and including each marker of an answer, and from the next question on.

    For rows that are token ids only; `chat_row` and `completion_row` know better where answers are.

    Args:
        response_template: the text, or the ids, that every answer begins with.
        instruction_template: what every question begins with; None if a row has one answer, at its end.
    """

    tokenizer: PreTrainedTokenizer
    response_template: str | Sequence[int]
    _: KW_ONLY
    instruction_template: str | Sequence[int] | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """A padded batch with labels (B, T). Raises CollatorError, naming the row, where no answer is found."""
        label_column(features)
        rows = [plain(row["input_ids"]) for row in features]
        labels = [self._labels(index, row) for index, row in enumerate(rows)]
        encoded = self.tokenizer.pad(
            [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows],
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
        )
        batch: Batch = dict(encoded)
        length = batch["input_ids"].shape[1]
        batch["labels"] = padded(labels, length, IGNORED, self.tokenizer.padding_side)
        return delivered(batch, self.return_tensors)

    def _labels(self, index: int, ids: list[int]) -> list[int]:
        answer = self._ids(self.response_template)
        begins = [at + len(answer) for at in _places(ids, answer)]
        if not begins:
            raise CollatorError(
                f"row {index} of the batch does not contain the response template {self.response_template!r}",
                fix="tokens depend on what stands around a text: pass the ids as they occur in the row",
            )
        if self.instruction_template is None:
            begins, ends = begins[-1:], [len(ids)]
        else:
            questions = _places(ids, self._ids(self.instruction_template))
            ends = [next((at for at in questions if at >= begin), len(ids)) for begin in begins]
        labels = [IGNORED] * len(ids)
        for begin, end in zip(begins, ends, strict=True):
            labels[begin:end] = ids[begin:end]
        return labels

    def _ids(self, template: str | Sequence[int]) -> list[int]:
        if isinstance(template, str):
            return self.tokenizer.encode(template, add_special_tokens=False)
        return list(template)


def _places(ids: list[int], wanted: list[int]) -> list[int]:
    return [at for at in range(len(ids) - len(wanted) + 1) if ids[at : at + len(wanted)] == wanted]
