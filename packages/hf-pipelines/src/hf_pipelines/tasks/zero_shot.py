"""`zero-shot-classification`: any labels, by asking an inference model whether the text entails each of
them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Unpack, final, overload

import torch
from torch import Tensor

from hf_pipelines.base import Inputs, Pipeline, Results, is_text
from hf_pipelines.errors import OptionValueError
from hf_pipelines.records import ZeroShotLabels
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model


class ZeroShotOptions(TextOptions, total=False):
    """Options of `zero-shot-classification`.

    candidate_labels: the labels, a list or one string with commas. Needed, here or when the pipeline is made.
    hypothesis_template: the sentence that {} turns a label into (default "This example is {}.").
    multi_label: judge each label by itself, so that several may be true (default False: scores add up to 1).
    """

    candidate_labels: str | list[str]
    hypothesis_template: str
    multi_label: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A text paired with the sentence of one label."""

    sequence: str
    row: TokenRow


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotTask:
    """One call of `zero-shot-classification`. Every distinct label is one row for each text."""

    text: TextModel
    truncation: bool
    labels: tuple[str, ...]
    hypotheses: tuple[str, ...]
    entailment: int
    contradiction: int
    multi_label: bool

    def preprocess(self, inputs: Sequence[str]) -> list[list[Hypothesis]]:
        """A row for each label of each text."""
        pairs = [(sequence, hypothesis) for sequence in inputs for hypothesis in self.hypotheses]
        # Only the text may be cut, never the label.
        rows = iter(self.text.pair_rows(pairs, truncation="only_first" if self.truncation else False))
        return [[Hypothesis(sequence=text, row=next(rows)) for _ in self.hypotheses] for text in inputs]

    def length(self, chunk: Hypothesis) -> int:
        """Tokens."""
        return len(chunk.row)

    def forward(self, chunks: Sequence[Hypothesis]) -> Sequence[Tensor]:
        """Logits of contradiction and entailment for each row."""
        logits = self.text.logits(self.text.batch([chunk.row for chunk in chunks]))
        return logits[:, [self.contradiction, self.entailment]].unbind()

    def postprocess(self, chunks: Sequence[Hypothesis], raws: Sequence[Tensor]) -> ZeroShotLabels:
        """The labels of one text, best first."""
        logits = torch.stack(list(raws))
        alone = self.multi_label or len(self.labels) == 1
        scores = logits.softmax(-1)[:, 1] if alone else logits[:, 1].softmax(0)
        order = scores.argsort(descending=True, stable=True).tolist()
        return {
            "sequence": chunks[0].sequence,
            "labels": [self.labels[place] for place in order],
            "scores": scores[order].tolist(),
        }


@final
class ZeroShotPipeline(Pipeline[str, ZeroShotLabels, ZeroShotOptions]):
    """Scores of the candidate labels for a text, best first."""

    task: ClassVar[str] = "zero-shot-classification"
    option_names: ClassVar[frozenset[str]] = ZeroShotOptions.__optional_keys__

    @overload
    def __call__(self, inputs: str, **options: Unpack[ZeroShotOptions]) -> ZeroShotLabels: ...
    @overload
    def __call__(self, inputs: list[str], **options: Unpack[ZeroShotOptions]) -> list[ZeroShotLabels]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], **options: Unpack[ZeroShotOptions]
    ) -> Iterator[ZeroShotLabels]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[ZeroShotOptions]
    ) -> AsyncIterator[ZeroShotLabels]: ...
    def __call__(self, inputs: Inputs[str], **options: Unpack[ZeroShotOptions]) -> Results[ZeroShotLabels]:
        """Labels with scores for one text, a list, or a stream of texts."""
        return self._run(inputs, options)

    def _task(self, options: ZeroShotOptions) -> ZeroShotTask:
        labels = _labels(options.get("candidate_labels", ()))
        template = options.get("hypothesis_template", "This example is {}.")
        if template.format(labels[0]) == template:
            raise OptionValueError(
                f"hypothesis_template={template!r} has no place for the label",
                fix="write {} where the label goes",
            )
        entailment, contradiction = self._classes()
        return ZeroShotTask(
            text=text_model(self.task, self.parts),
            truncation=options.get("truncation", False),
            labels=labels,
            hypotheses=tuple(template.format(label) for label in labels),
            entailment=entailment,
            contradiction=contradiction,
            multi_label=options.get("multi_label", False),
        )

    def _classes(self) -> tuple[int, int]:
        """The places of entailment and contradiction among the model's labels."""
        config = self.model.config
        last = config.num_labels - 1
        for index, name in config.id2label.items():
            if name.lower().startswith("entail"):
                return index, last if index == 0 else 0
        raise OptionValueError(
            f"none of the model's labels says entailment: {', '.join(config.id2label.values())}",
            fix="choose a checkpoint trained on natural language inference, or correct its id2label",
        )

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)


def _labels(labels: str | Sequence[str]) -> tuple[str, ...]:
    """The distinct labels in their order. Raises OptionValueError if there is none."""
    parts = labels.split(",") if isinstance(labels, str) else labels
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise OptionValueError(
            "there are no candidate labels", fix="pass candidate_labels=['sport', 'politics'], at least one"
        )
    return found
