"""`Family`: everything this library knows about one model type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hf_modeling.spec import ModelSpec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.weights.table import Drop, Rule, WeightTable

Task = Literal[
    "base",
    "causal-lm",
    "seq2seq-lm",
    "text-encoding",
    "masked-lm",
    "pretraining",
    "replaced-tokens",
    "next-sentence",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "table-question-answering",
]
Skeleton = Literal["decoder", "encoder", "seq2seq"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """The facts of one family, from which its models are built, loaded and saved.

    `spec` and `weights` take an instance of `config`; they are typed loosely because a registry holds
    families of many config types, and a function that takes only one of them is not a function of all.
    `ignored` are checkpoint tensors to leave out, each with its reason, whatever the config says.
    `begins` says for a task how its checkpoints begin names that the family's others begin otherwise.
    `cross` gives the weight rules of attention to an encoder, where the family can be the decoder of a pair.
    `classes` names the public class for each task the family serves, `skeleton` the shape of all of them.
    """

    model_type: str
    config: type[PreTrainedConfig]
    spec: Callable[[Any], ModelSpec]
    weights: Callable[[Any], WeightTable]
    classes: Mapping[Task, str]
    ignored: tuple[Drop, ...] = ()
    begins: Mapping[Task, Mapping[str, str]] = field(default_factory=dict)
    skeleton: Skeleton = "decoder"
    cross: Callable[[Any], tuple[Rule, ...]] | None = None
