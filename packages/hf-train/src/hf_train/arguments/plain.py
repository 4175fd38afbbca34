"""Arguments as JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from hf_config import GenerationConfig
from hf_hub_io.jsonio import JsonValue

if TYPE_CHECKING:
    from hf_train.arguments.training import TrainingArguments


def plain(args: TrainingArguments) -> dict[str, JsonValue]:
    """All fields by name as JSON values; fields that end in `_token` are masked."""
    values = {part.name: json_value(getattr(args, part.name)) for part in fields(args)}
    return {
        name: f"<{name.upper()}>" if name.endswith("_token") and value is not None else value
        for name, value in values.items()
    }


def plain_json(args: TrainingArguments) -> str:
    """`plain` as indented JSON."""
    return json.dumps(plain(args), indent=2)


def json_value(value: object) -> JsonValue:
    """The JSON value that says the same; text for what JSON has no form for."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case GenerationConfig():
            return value.to_dict()
        case Path():
            return str(value)
        case Mapping():
            return {str(name): json_value(part) for name, part in value.items()}
        case Sequence():
            return [json_value(part) for part in value]
        case _:
            return str(value)
