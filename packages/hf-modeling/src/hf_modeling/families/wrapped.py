"""Text models inside checkpoints of models that also see or hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hf_modeling.families import find_family
from hf_modeling.weights.table import respelled

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.spec import ModelSpec
    from hf_modeling.weights.table import WeightTable


class HasText(Protocol):
    """A config of several models, one of which reads text."""

    @property
    def text_config(self) -> PreTrainedConfig: ...


def text_spec(c: HasText) -> ModelSpec:
    """What the text model inside is."""
    return find_family(c.text_config.model_type).spec(c.text_config)


def text_weights(c: HasText) -> WeightTable:
    """The text model's own names."""
    table: WeightTable = find_family(c.text_config.model_type).weights(c.text_config)
    return table


def inner_weights(c: HasText) -> WeightTable:
    """The text model's names, under that of the part it is."""
    return respelled(text_weights(c), {"model.": "model.language_model."})
