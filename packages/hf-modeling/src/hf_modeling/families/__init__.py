"""The families by model_type. A family's module is imported when it is first asked for, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from hf_config.errors import UnknownModelTypeError

if TYPE_CHECKING:
    from hf_modeling.families.family import Family

ENTRY_POINTS = "hf_modeling.families"
"""Other packages add families here: the entry point's name is the model_type, its object the `Family`."""

FAMILIES: Mapping[str, str] = {
    "bert": "Bert",
    "llama": "Llama",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "qwen3": "Qwen3",
}
"""model_type -> how the names of its classes begin; its `FAMILY` is in the module named like the type."""

MODULES: Mapping[str, str] = {}
"""The module of a model_type that is described together with another one."""


@cache
def find_family(model_type: str) -> Family:
    """The facts of one family. Raises UnknownModelTypeError, with the nearest names."""
    from hf_modeling.families.family import Family

    if model_type in FAMILIES:
        module = MODULES.get(model_type, model_type).replace("-", "_").replace(".", "_")
        found: object = import_module(f"hf_modeling.families.{module}").FAMILY
    else:
        entry = next(iter(entry_points(group=ENTRY_POINTS, name=model_type)), None)
        if entry is None:
            raise UnknownModelTypeError(model_type, model_types())
        found = entry.load()
    if not isinstance(found, Family):
        raise TypeError(f"the family {model_type!r} is described by {found!r}, which is not a Family")
    return found


def model_types() -> tuple[str, ...]:
    """Every model_type that can be built, those of other installed packages included."""
    return tuple(sorted({*FAMILIES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))}))
