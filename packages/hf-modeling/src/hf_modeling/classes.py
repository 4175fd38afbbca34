"""Family classes (`LlamaForCausalLM`): a skeleton that carries a family, made when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING

from hf_modeling.errors import ModelingError
from hf_modeling.families import FAMILIES, find_family, model_types

if TYPE_CHECKING:
    from hf_modeling.families.family import Family, Skeleton, Task
    from hf_modeling.model import PreTrainedModel

BASES: Mapping[Skeleton, tuple[str, str]] = {
    "decoder": ("hf_modeling.decoder", "Decoder"),
    "encoder": ("hf_modeling.encoder", "Encoder"),
    "seq2seq": ("hf_modeling.seq2seq", "Seq2Seq"),
}
"""The module and class of each shape's base model."""

HEADS: Mapping[Task, tuple[str, str]] = {
    "causal-lm": ("hf_modeling.heads.causal_lm", "CausalLM"),
    "masked-lm": ("hf_modeling.heads.masked_lm", "MaskedLM"),
    "pretraining": ("hf_modeling.heads.masked_lm", "PreTraining"),
    "replaced-tokens": ("hf_modeling.heads.replaced_tokens", "ReplacedTokens"),
    "next-sentence": ("hf_modeling.heads.masked_lm", "NextSentence"),
    "sequence-classification": ("hf_modeling.heads.sequence_classification", "SequenceClassifier"),
    "token-classification": ("hf_modeling.heads.classification", "TokenClassifier"),
    "question-answering": ("hf_modeling.heads.question_answering", "QuestionAnswering"),
    "table-question-answering": (
        "hf_modeling.heads.table_question_answering",
        "TableQuestionAnswering",
    ),
    "multiple-choice": ("hf_modeling.heads.classification", "MultipleChoice"),
}
"""The module and class that gives each task its head, whatever the family."""


SEQ2SEQ_HEADS: Mapping[Task, tuple[str, str]] = {
    "seq2seq-lm": ("hf_modeling.heads.conditional_generation", "ConditionalGeneration"),
    "text-encoding": ("hf_modeling.seq2seq", "TextEncoder"),
    "sequence-classification": ("hf_modeling.heads.seq2seq_classification", "Seq2SeqSequenceClassifier"),
    "token-classification": ("hf_modeling.heads.seq2seq_classification", "EncoderTokenClassifier"),
    "question-answering": ("hf_modeling.heads.seq2seq_classification", "Seq2SeqQuestionAnswering"),
}
"""The same for encoder-decoders."""


class TaskMissingError(ModelingError, ValueError):
    """A family that has no model for a task."""

    def __init__(self, model_type: str, task: str, known: Mapping[Task, str]) -> None:
        self.model_type, self.task = model_type, task
        super().__init__(
            f"the family {model_type!r} has no model for {task!r}",
            fix="use one of its classes: " + ", ".join(f"{name} ({t})" for t, name in known.items()),
        )


_lock = Lock()
_classes: dict[tuple[str, str], type[PreTrainedModel]] = {}  # grows once per class, under the lock


def model_class(facts: Family, task: Task) -> type[PreTrainedModel]:
    """The one class of a family for a task. Raises TaskMissingError."""
    name = facts.classes.get(task)
    heads = SEQ2SEQ_HEADS if facts.skeleton == "seq2seq" else HEADS
    if name is None or task not in ("base", *heads):
        raise TaskMissingError(facts.model_type, task, facts.classes)
    with _lock:
        made = _classes.get((facts.model_type, task))
        if made is None:
            module, skeleton_name = BASES[facts.skeleton] if task == "base" else heads[task]
            skeleton: type[PreTrainedModel] = getattr(import_module(module), skeleton_name)
            body = {
                "family": facts,
                "task": task,
                "__module__": "hf_modeling.models",
                "__doc__": skeleton.__doc__,
            }
            made = _classes[facts.model_type, task] = type(name, (skeleton,), body)
    return made


def find_class(name: str) -> type[PreTrainedModel]:
    """The family class called `name`; only its own family's module is imported. Raises AttributeError."""
    if not name.startswith("_"):
        for facts in _candidates(name):
            for task, class_name in facts.classes.items():
                if class_name == name:
                    return model_class(facts, task)
    raise AttributeError(f"hf_modeling has no class {name!r}{_suggestion(name)}")


def _candidates(name: str) -> Iterator[Family]:
    """Families that may have such a class: those whose names begin like it, then other packages'."""
    fitting = [model_type for model_type, start in FAMILIES.items() if name.startswith(start)]
    # The longest beginning first, and of equal ones the more particular type: a text model before its wrapper.
    for model_type in sorted(fitting, key=lambda t: (len(FAMILIES[t]), len(t)), reverse=True):
        yield find_family(model_type)
    for model_type in model_types():
        if model_type not in FAMILIES:
            yield find_family(model_type)


def _suggestion(name: str) -> str:
    near = get_close_matches(name, FAMILIES.values(), n=3, cutoff=0.4)
    return f"; families with similar names: {', '.join(near)}" if near else ""
