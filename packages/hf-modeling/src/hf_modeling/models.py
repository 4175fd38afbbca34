"""Every family class by name: `from hf_modeling.models import LlamaForCausalLM`. Typed by `models.pyi`."""

from hf_modeling.classes import find_class


def __getattr__(name: str) -> object:
    return find_class(name)
