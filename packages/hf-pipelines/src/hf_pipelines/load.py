"""From what the user names (a Hub id, a folder, a model) to the parts of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypedDict, final

import torch

from hf_hub_io import Repo
from hf_modeling import PreTrainedModel
from hf_tokenize import PreTrainedTokenizer

ModelArg: TypeAlias = str | Path | PreTrainedModel
TokenizerArg: TypeAlias = str | Path | PreTrainedTokenizer


class LoadOptions(TypedDict, total=False):
    """How `pipeline` finds and loads its parts.

    tokenizer: another tokenizer than the checkpoint's; needed when `model` is a model object.
    device: where the model computes: "cpu", "cuda:1", an index, ...; by default the first GPU, else the CPU.
    dtype: of the weights: "auto" as stored, a torch dtype or its name; by default as stored on a GPU, float32
        on the CPU.
    revision, token, cache_dir, local_files_only: which version of a Hub repository, and how to get it.
    """

    tokenizer: TokenizerArg | None
    device: str | int | torch.device | None
    dtype: torch.dtype | str | None
    revision: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a pipeline is made of. `repo` is None for a model that was given as an object."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizer
    repo: Repo | None = None
