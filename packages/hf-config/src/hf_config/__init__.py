"""Typed configurations of Hugging Face checkpoints."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_config.auto import AutoConfig
    from hf_config.base import PreTrainedConfig
    from hf_config.families.bert import BertConfig
    from hf_config.families.llama import LlamaConfig
    from hf_config.registry import config_class
    from hf_config.rope import RopeParameters

__all__ = ["AutoConfig", "BertConfig", "LlamaConfig", "PreTrainedConfig", "RopeParameters", "config_class"]

_MODULES = {
    "AutoConfig": "auto",
    "PreTrainedConfig": "base",
    "RopeParameters": "rope",
    "config_class": "registry",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hf_config' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f"hf_config.{_MODULES[name]}"), name)
    registry = import_module("hf_config.registry")
    model_type = next(key for key, class_name in registry.FAMILIES.items() if class_name == name)
    return registry.config_class(model_type)


def __dir__() -> list[str]:
    return list(__all__)
