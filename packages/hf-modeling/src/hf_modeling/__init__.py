"""Models as typed specs: build, load, run and generate from Hugging Face checkpoints.

Names are resolved when they are first used: importing `LlamaForCausalLM` loads Llama's facts and no other's.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_modeling.adapters import merge_adapter
    from hf_modeling.auto import (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
        AutoModelForPreTraining,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoModelForTableQuestionAnswering,
        AutoModelForTextEncoding,
        AutoModelForTokenClassification,
    )
    from hf_modeling.cache import Cache, DynamicCache, EncoderDecoderCache
    from hf_modeling.families.family import Family
    from hf_modeling.model import PreTrainedModel
    from hf_modeling.models import *  # noqa: F403 # the stub lists every family class
    from hf_modeling.weights.convert import convert_to_safetensors
    from hf_modeling.weights.report import LoadReport
    from hf_modeling.weights.table import WeightTable

__all__ = [
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTableQuestionAnswering",
    "AutoModelForTextEncoding",
    "AutoModelForTokenClassification",
    "Cache",
    "DynamicCache",
    "EncoderDecoderCache",
    "Family",
    "LoadReport",
    "PreTrainedModel",
    "WeightTable",
    "convert_to_safetensors",
    "merge_adapter",
]

_MODULES = {
    "Cache": "cache",
    "DynamicCache": "cache",
    "EncoderDecoderCache": "cache",
    "Family": "families.family",
    "LoadReport": "weights.report",
    "PreTrainedModel": "model",
    "WeightTable": "weights.table",
    "convert_to_safetensors": "weights.convert",
    "merge_adapter": "adapters",
}


if not TYPE_CHECKING:  # type checkers know every name, and tell a misspelt one

    def __getattr__(name: str) -> object:
        if name.startswith("AutoModel") and name in __all__:
            return getattr(import_module("hf_modeling.auto"), name)
        if name in _MODULES:
            return getattr(import_module(f"hf_modeling.{_MODULES[name]}"), name)
        if name.startswith("_"):
            raise AttributeError(f"module 'hf_modeling' has no attribute {name!r}")
        return getattr(import_module("hf_modeling.models"), name)


def __dir__() -> list[str]:
    return [*__all__, *dir(import_module("hf_modeling.models"))]
