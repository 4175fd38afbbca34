"""Which class reads which model_type; each family's module is imported when it is first asked for."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from hf_config.base import PreTrainedConfig
from hf_config.errors import ConfigError, UnknownModelTypeError

ENTRY_POINTS = "hf_config.families"
"""Other packages add families here: the entry point's name is the model_type, its object the config class."""

FAMILIES: Mapping[str, str] = {
    "bert": "BertConfig",
    "llama": "LlamaConfig",
}
"""model_type -> class, in the module `hf_config.families.<model_type>` (dashes as underscores)."""

MODULES: Mapping[str, str] = {}
"""The module of a model_type that shares another one's class."""


@cache
def config_class(model_type: str) -> type[PreTrainedConfig]:
    """The class that reads configurations of this model_type. Raises UnknownModelTypeError."""
    name = FAMILIES.get(model_type)
    if name is not None:
        module = MODULES.get(model_type, model_type).replace("-", "_").replace(".", "_")
        return _checked(model_type, getattr(import_module(f"hf_config.families.{module}"), name))
    for entry in entry_points(group=ENTRY_POINTS, name=model_type):
        return _checked(model_type, entry.load())
    raise UnknownModelTypeError(model_type, model_types())


def model_types() -> tuple[str, ...]:
    """All model types that can be read, those of other installed packages included."""
    return tuple(sorted({*FAMILIES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))}))


def family_of(data: Mapping[str, object]) -> type[PreTrainedConfig]:
    """The class for a parsed config.json, by its model_type. Raises ConfigError."""
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ConfigError(
            "config.json has no model_type, so its family is unknown",
            fix='add "model_type", or read the file with the family\'s own class, such as LlamaConfig',
        )
    return config_class(model_type)


def _checked(model_type: str, found: object) -> type[PreTrainedConfig]:
    if isinstance(found, type) and issubclass(found, PreTrainedConfig):
        return found
    raise ConfigError(
        f"the entry point {model_type!r} of {ENTRY_POINTS} gives {found!r}, not a PreTrainedConfig class",
        fix="correct the package that registers it",
    )
