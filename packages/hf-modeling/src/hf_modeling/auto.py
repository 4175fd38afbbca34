"""Auto classes: the right family's class for a task, chosen by the checkpoint's model_type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar, Unpack, cast, final

import torch
from torch import nn

from hf_config import PreTrainedConfig
from hf_config.base import CONFIG_NAME
from hf_config.errors import UnknownModelTypeError
from hf_hub_io.adapter import discover_adapter, has_adapter
from hf_hub_io.errors import AdapterError, RemoteCodeRefusedError
from hf_hub_io.repo import Repo
from hf_hub_io.trust import Trust, import_trusted
from hf_modeling.adapters import merge_adapter
from hf_modeling.arguments import LoadArguments, refuse_unknown
from hf_modeling.classes import model_class
from hf_modeling.families import find_family
from hf_modeling.model import PreTrainedModel
from hf_modeling.pretrained import gguf_apart, open_repo, read_config

if TYPE_CHECKING:
    from hf_modeling.decoder import Decoder
    from hf_modeling.encoder import Encoder
    from hf_modeling.families.family import Task
    from hf_modeling.heads.causal_lm import CausalLM
    from hf_modeling.heads.classification import MultipleChoice, TokenClassifier
    from hf_modeling.heads.conditional_generation import ConditionalGeneration
    from hf_modeling.heads.masked_lm import MaskedLM, NextSentence, PreTraining
    from hf_modeling.heads.question_answering import QuestionAnswering
    from hf_modeling.heads.replaced_tokens import ReplacedTokens
    from hf_modeling.heads.sequence_classification import SequenceClassifier
    from hf_modeling.heads.table_question_answering import TableQuestionAnswering
    from hf_modeling.seq2seq import Seq2Seq, TextEncoder

M = TypeVar("M", bound=PreTrainedModel)


@final
class AutoClass(Generic[M]):
    """Loads or makes models for one task; what it returns is an instance of the family's own class."""

    def __init__(self, task: Task, name: str, *others: Task) -> None:
        self.task: Final = task
        self.name: Final = name
        self.others: Final = others
        """What a family was made for where it has no model for `task`, in order of preference."""

    def from_pretrained(self, path: str | Path, **arguments: Unpack[LoadArguments]) -> M:
        """The model in a local folder or a Hub repository; see `PreTrainedModel.from_pretrained`.

        A model that exists only as code in its repository is loaded by that code, if `trust` vouches for
        exactly this code. A folder that holds only a LoRA adapter gives the model it names with the adapter
        merged in. Raises also AdapterError, TaskMissingError,
        UnknownModelTypeError and RemoteCodeRefusedError.
        """
        refuse_unknown(arguments)
        if str(path).endswith(".gguf"):
            path, arguments = gguf_apart(path, arguments)
        repo = open_repo(path, arguments)
        if arguments.get("gguf_file") is None and not repo.has(CONFIG_NAME) and has_adapter(repo):
            return self._with_adapter(repo, arguments)
        try:
            config = read_config(PreTrainedConfig, path, repo, arguments)
        except UnknownModelTypeError:
            code = _code_for(self.name, repo)
            if code is None:
                raise
            return cast("M", _from_its_own_code(path, repo, code, arguments.get("trust")))
        resolved: LoadArguments = {**arguments, "config": config, "revision": repo.commit}
        return self.class_for(config).from_pretrained(path, **resolved)

    def _with_adapter(self, repo: Repo, arguments: LoadArguments) -> M:
        """The base model that an adapter names, with the adapter merged in."""
        adapter = discover_adapter(repo, allow_pickle=arguments.get("allow_pickle", False))
        if adapter.base_model is None:
            raise AdapterError(
                f"{repo.id} holds an adapter that does not say which model it belongs to",
                fix="load that model and call merge_adapter(model, path)",
            )
        base: LoadArguments = {**arguments, "revision": None, "subfolder": ""}
        model = self.from_pretrained(adapter.base_model, **base)
        merge_adapter(model, adapter)
        return model

    def from_config(self, config: PreTrainedConfig, *, dtype: torch.dtype | None = None) -> M:
        """A randomly initialised model, in training mode."""
        return self.class_for(config).from_config(config, dtype=dtype)

    def class_for(self, config: PreTrainedConfig) -> type[M]:
        """The class that serves this task for the config's family. Raises TaskMissingError."""
        family = find_family(config.model_type)
        task = next((t for t in (self.task, *self.others) if t in family.classes), self.task)
        return cast("type[M]", model_class(family, task))

    def __repr__(self) -> str:
        return self.name


def _code_for(name: str, repo: Repo) -> str | None:
    """Where the repository's own code has the class for an Auto class: `module.Class`."""
    auto_map = repo.read_json("config.json").get("auto_map")
    code = auto_map.get(name) if isinstance(auto_map, dict) else None
    return code if isinstance(code, str) else None


def _from_its_own_code(path: str | Path, repo: Repo, code: str, trust: Trust | None) -> object:
    """What the `from_pretrained` of a class in the repository's code gives. Raises RemoteCodeRefusedError."""
    module, _, name = code.rpartition(".")
    found: object = getattr(import_trusted(repo, f"{module}.py", trust), name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise RemoteCodeRefusedError(
            f"config.json of {repo.id} promises the model class {code!r}, which its code does not have",
            fix="correct auto_map in config.json",
        )
    load: Callable[[str | Path], object] = found.from_pretrained  # type: ignore[attr-defined] # its promise
    return load(path)


AutoModel: Final[AutoClass[Decoder | Encoder | Seq2Seq]] = AutoClass("base", "AutoModel")
AutoModelForCausalLM: Final[AutoClass[CausalLM]] = AutoClass("causal-lm", "AutoModelForCausalLM")
AutoModelForSeq2SeqLM: Final[AutoClass[ConditionalGeneration]] = AutoClass(
    "seq2seq-lm", "AutoModelForSeq2SeqLM"
)
AutoModelForTextEncoding: Final[AutoClass[TextEncoder | Encoder]] = AutoClass(
    "text-encoding", "AutoModelForTextEncoding", "base"
)
AutoModelForMaskedLM: Final[AutoClass[MaskedLM]] = AutoClass("masked-lm", "AutoModelForMaskedLM")
AutoModelForPreTraining: Final[AutoClass[PreTraining | ReplacedTokens | MaskedLM | CausalLM]] = AutoClass(
    "pretraining", "AutoModelForPreTraining", "replaced-tokens", "masked-lm", "causal-lm"
)
AutoModelForNextSentencePrediction: Final[AutoClass[NextSentence]] = AutoClass(
    "next-sentence", "AutoModelForNextSentencePrediction"
)
AutoModelForSequenceClassification: Final[AutoClass[SequenceClassifier]] = AutoClass(
    "sequence-classification", "AutoModelForSequenceClassification"
)
AutoModelForTokenClassification: Final[AutoClass[TokenClassifier]] = AutoClass(
    "token-classification", "AutoModelForTokenClassification"
)
AutoModelForQuestionAnswering: Final[AutoClass[QuestionAnswering]] = AutoClass(
    "question-answering", "AutoModelForQuestionAnswering"
)
AutoModelForMultipleChoice: Final[AutoClass[MultipleChoice]] = AutoClass(
    "multiple-choice", "AutoModelForMultipleChoice"
)
AutoModelForTableQuestionAnswering: Final[AutoClass[TableQuestionAnswering]] = AutoClass(
    "table-question-answering", "AutoModelForTableQuestionAnswering"
)
