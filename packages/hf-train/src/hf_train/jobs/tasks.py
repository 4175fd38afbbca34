"""What each task makes of rows: inputs and labels of tokens, a collator, a metric, and the class of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from hf_tokenize import PreTrainedTokenizer
from hf_train.collators import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PackedCollator,
    Row,
    default_data_collator,
    pack,
)
from hf_train.collators.common import IGNORED
from hf_train.evaluation.metrics import F1, Accuracy, MeanSquaredError, StreamingMetric
from hf_train.jobs.job import DataSpec, JobError, TaskName
from hf_train.jobs.rows import columns
from hf_train.jobs.spans import SpanAccuracy, answer_rows

Collator = Callable[[Sequence[Row]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a classifier tells apart: names by number; none for a regression."""

    names: tuple[str, ...] = ()

    def number(self, value: object, where: str) -> int | float:
        """The number of a label. Raises JobError for one that training did not have."""
        if not self.names:
            return float(str(value))
        try:
            return self.names.index(str(value))
        except ValueError:
            raise JobError(f"{where} has the label {value!r}, which the training rows do not have") from None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows for the Trainer and what goes with them."""

    train: list[Row]
    validation: list[Row] | None
    collator: Collator
    metric: StreamingMetric | None
    labels: Labels | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The rows of a run as they were read, and how to read them."""

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]] | None
    tokenizer: PreTrainedTokenizer
    data: DataSpec

    def each(
        self, prepare: Callable[[list[dict[str, Any]], str], list[Row]]
    ) -> tuple[list[Row], list[Row] | None]:
        """Both parts, prepared; the name of a part is for errors."""
        train = prepare(self.train, self.data.train)
        if self.validation is None:
            return train, None
        return train, prepare(self.validation, self.data.validation or "validation")


MODEL_CLASSES: Final[Mapping[TaskName, str]] = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "seq2seq": "AutoModelForSeq2SeqLM",
}


def model_class(task: TaskName) -> Any:
    """The class of hf-modeling that loads a model for the task."""
    return getattr(import_module("hf_modeling"), MODEL_CLASSES[task])


def prepare(task: TaskName, parts: Parts) -> Prepared:
    """Tokenize the rows as the task wants them."""
    return _PREPARE[task](parts)


def _causal(parts: Parts) -> Prepared:
    tokenizer, data = parts.tokenizer, parts.data
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        texts = [text for (text,) in columns(raw, source, text=data.text or "text")]
        encoded = tokenizer(texts)["input_ids"]
        whole = [ids if ids[-1:] == end else ids + end for ids in encoded]
        if data.pack:
            return list(pack(({"input_ids": ids} for ids in whole), data.max_length))
        length = data.max_length
        pieces = (ids[at : at + length] for ids in whole for at in range(0, len(ids), length))
        return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in pieces if len(ids) > 1]

    train, validation = parts.each(rows)
    pad = tokenizer.pad_token_id
    if data.pack:
        collator: Collator = PackedCollator(pad_token_id=pad or 0)
    else:
        padder = tokenizer if pad is not None else tokenizer.replace(pad_token=tokenizer.eos_token)
        collator = DataCollatorForLanguageModeling(padder, mlm=False)
    return Prepared(train=train, validation=validation, collator=collator, metric=Accuracy(shift=True))


def _masked(parts: Parts) -> Prepared:
    tokenizer, data = parts.tokenizer, parts.data

    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        texts = [text for (text,) in columns(raw, source, text=data.text or "text")]
        return _listed(
            tokenizer(texts, truncation=True, max_length=data.max_length, return_special_tokens_mask=True)
        )

    train, validation = parts.each(rows)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=data.mlm_probability)
    return Prepared(train=train, validation=validation, collator=collator, metric=Accuracy())


def _sequences(parts: Parts) -> Prepared:
    tokenizer, data = parts.tokenizer, parts.data
    label = data.label or "label"
    names = {"text": data.text or "text"} | ({"text_pair": data.text_pair} if data.text_pair else {})
    labels = _labels([value for (value,) in columns(parts.train, data.train, label=label)])

    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        found = columns(raw, source, **names, label=label)
        texts = [row[0] for row in found]
        pairs = [row[1] for row in found] if data.text_pair else None
        encoded = _listed(tokenizer(texts, pairs, truncation=True, max_length=data.max_length))
        return [
            {**row, "label": labels.number(one[-1], source)} for row, one in zip(encoded, found, strict=True)
        ]

    train, validation = parts.each(rows)
    metric: StreamingMetric = F1(len(labels.names)) if labels.names else MeanSquaredError()
    collator = DataCollatorWithPadding(tokenizer)
    return Prepared(train=train, validation=validation, collator=collator, metric=metric, labels=labels)


def _tokens(parts: Parts) -> Prepared:
    tokenizer, data = parts.tokenizer, parts.data
    names = {"text": data.text or "tokens", "label": data.label or "tags"}
    tags = [tag for _, row in columns(parts.train, data.train, **names) for tag in row]
    labels = Labels(names=tuple(sorted({str(tag) for tag in tags}, key=_order)))

    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        found = columns(raw, source, **names)
        for index, (words, marks) in enumerate(found):
            if len(words) != len(marks):
                raise JobError(f"row {index} of {source} has {len(words)} words and {len(marks)} tags")
        batch = tokenizer(
            [words for words, _ in found],
            is_split_into_words=True,
            truncation=True,
            max_length=data.max_length,
        )
        encoded = _listed(batch)
        return [
            {
                **row,
                "labels": _first_tokens(batch.word_ids(index), [labels.number(tag, source) for tag in marks]),
            }
            for index, (row, (_, marks)) in enumerate(zip(encoded, found, strict=True))
        ]

    train, validation = parts.each(rows)
    collator = DataCollatorForTokenClassification(tokenizer)
    metric = F1(len(labels.names))
    return Prepared(train=train, validation=validation, collator=collator, metric=metric, labels=labels)


def _first_tokens(words: list[int | None], marks: Sequence[int | float]) -> list[int]:
    """The label of each word at its first token, -100 at all others."""
    before: int | None = None
    result = []
    for word in words:
        result.append(IGNORED if word is None or word == before else int(marks[word]))
        before = word
    return result


def _answers(parts: Parts) -> Prepared:
    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        columns(raw, source, text=parts.data.text or "context", question="question", answers="answers")
        return list(answer_rows(raw, parts.tokenizer, parts.data, source))

    train, validation = parts.each(rows)
    return Prepared(train=train, validation=validation, collator=default_data_collator, metric=SpanAccuracy())


def _seq2seq(parts: Parts) -> Prepared:
    tokenizer, data = parts.tokenizer, parts.data
    names = {"text": data.text or "source", "target": data.target or "target"}

    def rows(raw: list[dict[str, Any]], source: str) -> list[Row]:
        found = columns(raw, source, **names)
        inputs = _listed(tokenizer([text for text, _ in found], truncation=True, max_length=data.max_length))
        targets = tokenizer(
            text_target=[text for _, text in found], truncation=True, max_length=data.max_length
        )
        return [{**row, "labels": ids} for row, ids in zip(inputs, targets["input_ids"], strict=True)]

    train, validation = parts.each(rows)
    return Prepared(
        train=train, validation=validation, collator=DataCollatorForSeq2Seq(tokenizer), metric=Accuracy()
    )


def _labels(values: Sequence[object]) -> Labels:
    """Classes if labels are whole numbers or text, a regression if they are other numbers."""
    if all(isinstance(value, float) for value in values) and any(value != int(value) for value in values):  # type: ignore[call-overload]  # floats
        return Labels()
    return Labels(names=tuple(sorted({str(value) for value in values}, key=_order)))


def _order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _listed(batch: Mapping[str, Any]) -> list[Row]:
    names = list(batch)
    return [
        dict(zip(names, values, strict=True)) for values in zip(*(batch[name] for name in names), strict=True)
    ]


_PREPARE: Final[Mapping[TaskName, Callable[[Parts], Prepared]]] = {
    "causal-lm": _causal,
    "masked-lm": _masked,
    "text-classification": _sequences,
    "token-classification": _tokens,
    "question-answering": _answers,
    "seq2seq": _seq2seq,
}
