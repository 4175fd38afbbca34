"""Records as JSON lines."""

from __future__ import annotations

import json


def to_json(record: object) -> str:
    """A record as one line of JSON; tensors become nested lists."""
    return json.dumps(record, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    import torch

    if isinstance(value, torch.Tensor):
        return value.tolist()
    raise TypeError(f"a record holds a {type(value).__name__}, which JSON cannot express")
