"""Every family class by name: `from hf_modeling.models import LlamaForCausalLM`. Typed by `models.pyi`."""

import re
from pathlib import Path

from hf_modeling.classes import find_class


def __getattr__(name: str) -> object:
    return find_class(name)


def __dir__() -> list[str]:
    return re.findall(r"^class (\w+)", Path(__file__).with_suffix(".pyi").read_text(), re.MULTILINE)
