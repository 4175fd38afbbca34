"""Auto classes: the right family's class for a task, chosen by the checkpoint's model_type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar, Unpack, cast, final

import torch

from hf_config import PreTrainedConfig
from hf_config.errors import UnknownModelTypeError
from hf_hub_io.errors import RemoteCodeRefusedError
from hf_hub_io.repo import Repo
from hf_modeling.arguments import LoadArguments, refuse_unknown
from hf_modeling.classes import model_class
from hf_modeling.families import find_family
from hf_modeling.model import PreTrainedModel
from hf_modeling.pretrained import open_repo, read_config

if TYPE_CHECKING:
    from hf_modeling.decoder import Decoder
    from hf_modeling.encoder import Encoder
    from hf_modeling.families.family import Task
    from hf_modeling.heads.causal_lm import CausalLM
    from hf_modeling.heads.classification import MultipleChoice, QuestionAnswering, TokenClassifier
    from hf_modeling.heads.masked_lm import MaskedLM, NextSentence, PreTraining
    from hf_modeling.heads.sequence_classification import SequenceClassifier

M = TypeVar("M", bound=PreTrainedModel)


@final
class AutoClass(Generic[M]):
    """Loads or makes models for one task; what it returns is an instance of the family's own class."""

    def __init__(self, task: Task) -> None:
        self.task: Final = task

    def from_pretrained(self, path: str | Path, **arguments: Unpack[LoadArguments]) -> M:
        """The model in a local folder or a Hub repository; see `PreTrainedModel.from_pretrained`.

        Raises also TaskMissingError, and RemoteCodeRefusedError for a model that exists only as code in its
        repository.
        """
        refuse_unknown(arguments)
        repo = open_repo(path, arguments)
        config = _config(path, repo, arguments)
        kind = self.class_for(config)
        resolved: LoadArguments = {**arguments, "config": config, "revision": repo.commit}
        return kind.from_pretrained(path, **resolved)

    def from_config(self, config: PreTrainedConfig, *, dtype: torch.dtype | None = None) -> M:
        """A randomly initialised model, in training mode."""
        return self.class_for(config).from_config(config, dtype=dtype)

    def class_for(self, config: PreTrainedConfig) -> type[M]:
        """The class that serves this task for the config's family. Raises TaskMissingError."""
        return cast("type[M]", model_class(find_family(config.model_type), self.task))

    def __repr__(self) -> str:
        return f"AutoClass({self.task!r})"


def _config(path: str | Path, repo: Repo, arguments: LoadArguments) -> PreTrainedConfig:
    try:
        return read_config(PreTrainedConfig, path, repo, arguments)
    except UnknownModelTypeError as error:
        if "auto_map" in repo.read_json("config.json"):
            raise RemoteCodeRefusedError(
                f"{repo.id} is a {error.model_type!r} model, which exists only as code in its repository; "
                "that code is not run",
                fix="install a package that brings the family (entry point hf_modeling.families), "
                "or use a model of a family that is known",
            ) from None
        raise


AutoModel: Final[AutoClass[Decoder | Encoder]] = AutoClass("base")
AutoModelForCausalLM: Final[AutoClass[CausalLM]] = AutoClass("causal-lm")
AutoModelForSeq2SeqLM: Final[AutoClass[PreTrainedModel]] = AutoClass("seq2seq-lm")
AutoModelForMaskedLM: Final[AutoClass[MaskedLM]] = AutoClass("masked-lm")
AutoModelForPreTraining: Final[AutoClass[PreTraining]] = AutoClass("pretraining")
AutoModelForNextSentencePrediction: Final[AutoClass[NextSentence]] = AutoClass("next-sentence")
AutoModelForSequenceClassification: Final[AutoClass[SequenceClassifier]] = AutoClass(
    "sequence-classification"
)
AutoModelForTokenClassification: Final[AutoClass[TokenClassifier]] = AutoClass("token-classification")
AutoModelForQuestionAnswering: Final[AutoClass[QuestionAnswering]] = AutoClass("question-answering")
AutoModelForMultipleChoice: Final[AutoClass[MultipleChoice]] = AutoClass("multiple-choice")
