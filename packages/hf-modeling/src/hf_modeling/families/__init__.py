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
    "apertus": "Apertus",
    "arcee": "Arcee",
    "axk1": "AXK1",
    "bert": "Bert",
    "biogpt": "BioGpt",
    "bitnet": "BitNet",
    "bloom": "Bloom",
    "codegen": "CodeGen",
    "cohere": "Cohere",
    "cohere2": "Cohere2",
    "ctrl": "CTRL",
    "cwm": "Cwm",
    "deepseek_v2": "DeepseekV2",
    "deepseek_v3": "DeepseekV3",
    "deepseek_v32": "DeepseekV32",
    "ernie4_5": "Ernie4_5",
    "exaone4": "Exaone4",
    "falcon": "Falcon",
    "flex_olmo": "FlexOlmo",
    "gemma": "Gemma",
    "gemma2": "Gemma2",
    "gemma3_text": "Gemma3",
    "glm": "Glm",
    "glm4": "Glm4",
    "glm4_moe_lite": "Glm4MoeLite",
    "glm_moe_dsa": "GlmMoeDsa",
    "gpt2": "GPT2",
    "gpt_bigcode": "GPTBigCode",
    "gpt_neo": "GPTNeo",
    "gpt_neox": "GPTNeoX",
    "gpt_neox_japanese": "GPTNeoXJapanese",
    "gptj": "GPTJ",
    "granite": "Granite",
    "granite_swa": "GraniteSWA",
    "granitemoe": "GraniteMoe",
    "granitemoe_swa": "GraniteMoeSWA",
    "granitemoeshared": "GraniteMoeShared",
    "helium": "Helium",
    "hunyuan_v1_dense": "HunYuanDenseV1",
    "hyperclovax": "HyperCLOVAX",
    "internlm3": "InternLM3",
    "iquestcoder": "IQuestCoder",
    "jais2": "Jais2",
    "llama": "Llama",
    "mellum": "Mellum",
    "minicpm3": "MiniCPM3",
    "ministral": "Ministral",
    "ministral3": "Ministral3",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "modernbert-decoder": "ModernBertDecoder",
    "mpt": "Mpt",
    "nanochat": "NanoChat",
    "nemotron": "Nemotron",
    "olmo": "Olmo",
    "olmo2": "Olmo2",
    "olmo3": "Olmo3",
    "olmoe": "Olmoe",
    "openai-gpt": "OpenAIGPT",
    "opt": "OPT",
    "persimmon": "Persimmon",
    "phi": "Phi",
    "phi3": "Phi3",
    "qwen2": "Qwen2",
    "qwen2_moe": "Qwen2Moe",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3Moe",
    "seed_oss": "SeedOss",
    "smollm3": "SmolLM3",
    "stablelm": "StableLm",
    "starcoder2": "Starcoder2",
    "vaultgemma": "VaultGemma",
    "xglm": "XGLM",
    "youtu": "Youtu",
}
"""model_type -> what the names of all its classes begin with; its `FAMILY` is in the module of that type."""

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
