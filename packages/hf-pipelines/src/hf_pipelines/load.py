"""From what the user names (a Hub id, a folder, a model) to the parts of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypedDict, final

import torch

from hf_config import PreTrainedConfig
from hf_hub_io import Repo
from hf_modeling.arguments import LoadArguments
from hf_modeling.classes import model_class
from hf_modeling.families import find_family
from hf_modeling.families.family import Task as Head
from hf_modeling.model import PreTrainedModel
from hf_modeling.packed import prepare_for_inference
from hf_pipelines.errors import OptionValueError
from hf_pipelines.pooling import transformer_folder
from hf_tokenize import AutoTokenizer, PreTrainedTokenizer

ModelArg: TypeAlias = str | Path | PreTrainedModel
TokenizerArg: TypeAlias = str | Path | PreTrainedTokenizer


class LoadOptions(TypedDict, total=False):
    """How `pipeline` finds and loads its parts.

    tokenizer: another tokenizer than the checkpoint's; needed when `model` is a model object.
    device: where the model computes: "cpu", "cuda:1", an index, ...; by default the first accelerator if
        there is one. A model object stays where it is.
    dtype: of the weights, a torch dtype or its name; by default as the checkpoint stores them.
    revision, token, cache_dir, local_files_only: which version of a Hub repository, and how to get it.
    """

    tokenizer: TokenizerArg
    device: str | int | torch.device | None
    dtype: torch.dtype | str | None
    revision: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LengthLimit:
    """The most tokens a row may have, and which file or option says so."""

    tokens: int
    source: str

    def tightened(self, tokens: int, source: str) -> LengthLimit:
        """The tighter of this limit and another."""
        return LengthLimit(tokens=tokens, source=source) if tokens < self.tokens else self


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a pipeline is made of; `repo` is None for a model that was given as an object."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizer
    repo: Repo | None
    limit: LengthLimit

    @property
    def name(self) -> str:
        """What the user calls the checkpoint."""
        return type(self.model).__name__ if self.repo is None else self.repo.id


HeadChoice: TypeAlias = Callable[[str, Sequence[str], Sequence[Head]], Head]
"""Chooses a head to load from a checkpoint's name, its architectures and their heads, or raises."""


def architectures_of(model: ModelArg, options: LoadOptions) -> tuple[str, tuple[str, ...], tuple[Head, ...]]:
    """What a checkpoint, or a model object, is called, its classes and their heads, before anything is loaded."""
    if isinstance(model, PreTrainedModel):
        name = type(model).__name__
        return name, (name,), (model.task,)
    repo, config, _ = _described(model, options)
    return repo.id, tuple(config.architectures or ()), heads_of(config)


def load_parts(model: ModelArg, choose: HeadChoice, options: LoadOptions) -> Parts:
    """Model and tokenizer, ready to compute. Raises what loading raises, and what `choose` does."""
    if isinstance(model, PreTrainedModel):
        return _from_object(model, choose, options)
    repo, config, folder = _described(model, options)
    head = choose(repo.id, config.architectures or (), heads_of(config))
    arguments: LoadArguments = {
        "revision": repo.commit,
        "token": options.get("token"),
        "cache_dir": options.get("cache_dir"),
        "local_files_only": options.get("local_files_only", False),
        "subfolder": folder,
        "dtype": options.get("dtype"),
        "device": _device(options.get("device")),
    }
    if head == "base":
        # A checkpoint trained with another head may lack the pooler, which no task here reads.
        arguments["allow_missing"] = ("pooler.*",)
    loaded = model_class(find_family(config.model_type), head).from_pretrained(model, **arguments)
    tokenizer = options.get("tokenizer")
    if not isinstance(tokenizer, PreTrainedTokenizer):
        tokenizer = AutoTokenizer.from_pretrained(
            model if tokenizer is None else tokenizer,
            revision=repo.commit if tokenizer is None else None,
            token=options.get("token"),
            cache_dir=options.get("cache_dir"),
            local_files_only=options.get("local_files_only", False),
            subfolder=folder if tokenizer is None else "",
        )
    return _parts(loaded, tokenizer, repo)


def _described(model: str | Path, options: LoadOptions) -> tuple[Repo, PreTrainedConfig, str]:
    """The checkpoint's repository, its config, and the folder that holds the model in it."""
    repo = Repo.open(
        model,
        revision=options.get("revision"),
        token=options.get("token"),
        cache_dir=options.get("cache_dir"),
        local_files_only=options.get("local_files_only", False),
    )
    folder = transformer_folder(repo)
    path = f"{folder}/config.json" if folder else "config.json"
    return repo, PreTrainedConfig.from_dict(repo.read_json(path)), folder


def heads_of(config: PreTrainedConfig) -> tuple[Head, ...]:
    """The heads that a checkpoint has, by the class names in its config.json; empty if it names none we know."""
    known = {name: head for head, name in find_family(config.model_type).classes.items()}
    return tuple(known[name] for name in config.architectures or () if name in known)


def _from_object(model: PreTrainedModel, choose: HeadChoice, options: LoadOptions) -> Parts:
    if choose(type(model).__name__, (type(model).__name__,), (model.task,)) != model.task:
        # A task that reads hidden states asks the encoder or decoder inside.
        inside = model.get_submodule("model")
        assert isinstance(inside, PreTrainedModel)
        model = inside
    tokenizer = options.get("tokenizer")
    if tokenizer is None:
        raise OptionValueError(
            "a model object does not know its tokenizer",
            fix="pass tokenizer=..., an object or its folder",
        )
    if not isinstance(tokenizer, PreTrainedTokenizer):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    if (device := options.get("device")) is not None:
        model.to(device)
    return _parts(model.eval(), tokenizer, None)


def _parts(model: PreTrainedModel, tokenizer: PreTrainedTokenizer, repo: Repo | None) -> Parts:
    if model.device.type == "cpu":
        prepare_for_inference(model)
    return Parts(model=model, tokenizer=tokenizer, repo=repo, limit=_limit(model, tokenizer))


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizer) -> LengthLimit:
    """The tighter of the tokenizer's `model_max_length` and the model's number of positions."""
    limit = LengthLimit(tokens=tokenizer.model_max_length, source="tokenizer_config.json: model_max_length")
    positions = model.config.to_dict().get("max_position_embeddings")
    if isinstance(positions, int):
        limit = limit.tightened(positions, "config.json: max_position_embeddings")
    return limit


def _device(asked: str | int | torch.device | None) -> torch.device:
    """The device asked for, else the first accelerator, else the CPU. -1 is the CPU, as it always was."""
    if asked == -1:
        return torch.device("cpu")
    if asked is not None:
        return torch.device(asked)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
