"""The closed sets of words that arguments take, and how text becomes a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from hf_hub_io.jsonio import JsonValue
from hf_train.errors import ArgumentsError

Interval = Literal["no", "steps", "epoch"]
SaveStrategy = Literal["no", "steps", "epoch", "best"]
HubStrategy = Literal["end", "every_save", "checkpoint", "all_checkpoints"]
Sampling = Literal["random", "sequential", "group_by_length", "batch_rebalance"]
TokenCount = Literal["no", "all", "non_padding"]
OnNonfinite = Literal["raise", "skip"]

Options = Mapping[str, JsonValue] | str | None
"""Named options: a mapping, the JSON text of one, the path of a file with one, or None."""


def options(value: Options, field: str) -> dict[str, JsonValue]:
    """The named options that an argument holds, {} for None.

    Raises ArgumentsError for text that is not a JSON object and names no file with one.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    text = value
    if not text.lstrip().startswith("{"):
        try:
            with open(value, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise ArgumentsError(
                f"{field}: cannot read {value!r} ({error.strerror})",
                fields=(field,),
                fix="give the path of a JSON file, or the options themselves",
            ) from None
    try:
        read: JsonValue = json.loads(text)
    except ValueError as error:
        raise ArgumentsError(f"{field}: {value!r} is not JSON ({error})", fields=(field,)) from None
    if not isinstance(read, dict):
        raise ArgumentsError(f"{field}: {value!r} is not a JSON object", fields=(field,))
    return read
