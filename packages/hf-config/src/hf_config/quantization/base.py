"""The base of quantization settings: `quant_method` decides the class; what was read is what is written."""

import copy
from collections.abc import Mapping
from typing import Self

from hf_config.convert import plain
from hf_config.errors import InvalidFieldError
from hf_config.record import Record, record
from hf_hub_io.jsonio import JsonValue


@record
class QuantizationConfig(Record):
    """What `quantization_config` in a config.json says about packed weights; data only."""

    quant_method: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self:
        """The settings in any spelling in use; on `QuantizationConfig` itself the method chooses the class.

        Raises UnknownQuantMethodError, with the nearest name, and ConfigError for values that cannot be.
        """
        if cls is QuantizationConfig:
            from hf_config.quantization.registry import class_and_settings

            kind, settings = class_and_settings(data)
            found = kind.from_dict(settings)
            assert isinstance(found, cls)
            vars(found)["_source"] = plain(data)
            return found
        config = super().from_dict(data)
        vars(config)["_source"] = plain(data)
        return config

    def to_dict(self) -> dict[str, JsonValue]:
        """What was read, key for key; for settings made in Python, every field."""
        source: dict[str, JsonValue] | None = vars(self).get("_source")
        return super().to_dict() if source is None else copy.deepcopy(source)


def require(config: QuantizationConfig, field: str, allowed: tuple[object, ...]) -> None:
    """Raises InvalidFieldError unless the field holds one of the allowed values."""
    value = vars(config)[field]
    if value not in allowed:
        expected = f"one of {', '.join(map(str, allowed))}"
        raise InvalidFieldError(type(config).__name__, field, value, expected, fix=f"correct {field}")


def require_group_size(config: QuantizationConfig, field: str = "group_size") -> None:
    """Raises InvalidFieldError unless the field is a length, or -1 for one group over a whole row."""
    value = vars(config)[field]
    if value is not None and value != -1 and value <= 0:
        raise InvalidFieldError(
            type(config).__name__, field, value, "a number above 0, or -1", fix=f"correct {field}"
        )
