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
    "afmoe": "Afmoe",
    "albert": "Albert",
    "apertus": "Apertus",
    "arcee": "Arcee",
    "aria_text": "AriaText",
    "axk1": "AXK1",
    "axk2": "AXK2",
    "bailing_hybrid": "BailingHybrid",
    "bamba": "Bamba",
    "bart": "Bart",
    "beam": "Beam",
    "bert": "Bert",
    "bert-generation": "BertGeneration",
    "big_bird": "BigBird",
    "biogpt": "BioGpt",
    "bitnet": "BitNet",
    "blenderbot": "Blenderbot",
    "blenderbot-small": "BlenderbotSmall",
    "bloom": "Bloom",
    "camembert": "Camembert",
    "codegen": "CodeGen",
    "cohere": "Cohere",
    "cohere2": "Cohere2",
    "cohere2_moe": "Cohere2Moe",
    "cohere_compass_text": "CohereCompass",
    "ctrl": "CTRL",
    "cwm": "Cwm",
    "data2vec-text": "Data2VecText",
    "dbrx": "Dbrx",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "deepseek_v2": "DeepseekV2",
    "deepseek_v3": "DeepseekV3",
    "deepseek_v32": "DeepseekV32",
    "diffllama": "DiffLlama",
    "distilbert": "DistilBert",
    "dots1": "Dots1",
    "dots3_note_text": "Dots3Note",
    "dots3_note": "Dots3Note",
    "electra": "Electra",
    "encoder-decoder": "EncoderDecoder",
    "ernie": "Ernie",
    "ernie4_5": "Ernie4_5",
    "ernie4_5_moe": "Ernie4_5_Moe",
    "exaone4": "Exaone4",
    "exaone_moe": "ExaoneMoe",
    "falcon": "Falcon",
    "falcon_h1": "FalconH1",
    "falcon_mamba": "FalconMamba",
    "flex_olmo": "FlexOlmo",
    "flint": "Flint",
    "gemma": "Gemma",
    "gemma2": "Gemma2",
    "gemma3_text": "Gemma3",
    "gemma4_text": "Gemma4",
    "gemma4_unified_text": "Gemma4Unified",
    "glm": "Glm",
    "glm4": "Glm4",
    "glm4_moe": "Glm4Moe",
    "glm4_moe_lite": "Glm4MoeLite",
    "glm_moe_dsa": "GlmMoeDsa",
    "gpt-sw3": "GPT2",
    "gpt2": "GPT2",
    "gpt_bigcode": "GPTBigCode",
    "gpt_neo": "GPTNeo",
    "gpt_neox": "GPTNeoX",
    "gpt_neox_japanese": "GPTNeoXJapanese",
    "gpt_oss": "GptOss",
    "gptj": "GPTJ",
    "granite": "Granite",
    "granite_swa": "GraniteSWA",
    "granitemoe": "GraniteMoe",
    "granitemoe_swa": "GraniteMoeSWA",
    "granitemoehybrid": "GraniteMoeHybrid",
    "granitemoeshared": "GraniteMoeShared",
    "helium": "Helium",
    "hunyuan_v1_dense": "HunYuanDenseV1",
    "hunyuan_v1_moe": "HunYuanMoEV1",
    "hy_v3": "HYV3",
    "hyperclovax": "HyperCLOVAX",
    "internlm3": "InternLM3",
    "iquestcoder": "IQuestCoder",
    "jais2": "Jais2",
    "jamba": "Jamba",
    "jetmoe": "JetMoe",
    "kimi_linear": "KimiLinear",
    "kolibri1": "Kolibri1",
    "laguna": "Laguna",
    "layoutlm": "LayoutLM",
    "led": "LED",
    "lfm2": "Lfm2",
    "lfm2_moe": "Lfm2Moe",
    "lfm3": "Lfm3",
    "llama": "Llama",
    "llama4": "Llama4",
    "llama4_text": "Llama4",
    "longformer": "Longformer",
    "longt5": "LongT5",
    "m2m_100": "M2M100",
    "mamba": "Mamba",
    "mamba2": "Mamba2",
    "marian": "Marian",
    "mbart": "MBart",
    "megatron-bert": "MegatronBert",
    "mellum": "Mellum",
    "mimo_v2_flash": "MiMoV2Flash",
    "minicpm3": "MiniCPM3",
    "minimax": "MiniMax",
    "minimax_m2": "MiniMaxM2",
    "minimax_m3_vl_text": "MiniMaxM3VL",
    "ministral": "Ministral",
    "ministral3": "Ministral3",
    "mistral": "Mistral",
    "mistral4": "Mistral4",
    "mixtral": "Mixtral",
    "modernbert": "ModernBert",
    "modernbert-decoder": "ModernBertDecoder",
    "mpnet": "MPNet",
    "mpt": "Mpt",
    "mt5": "MT5",
    "mvp": "Mvp",
    "nanochat": "NanoChat",
    "nemotron": "Nemotron",
    "nemotron_h": "NemotronH",
    "olmo": "Olmo",
    "olmo2": "Olmo2",
    "olmo3": "Olmo3",
    "olmo_hybrid": "OlmoHybrid",
    "olmoe": "Olmoe",
    "openai-gpt": "OpenAIGPT",
    "opt": "OPT",
    "pegasus": "Pegasus",
    "persimmon": "Persimmon",
    "phi": "Phi",
    "phi3": "Phi3",
    "phimoe": "Phimoe",
    "plbart": "PLBart",
    "qwen2": "Qwen2",
    "qwen2_moe": "Qwen2Moe",
    "qwen3": "Qwen3",
    "qwen3_5_text": "Qwen3_5",
    "qwen3_5": "Qwen3_5",
    "qwen3_5_moe_text": "Qwen3_5Moe",
    "qwen3_5_moe": "Qwen3_5Moe",
    "qwen3_moe": "Qwen3Moe",
    "qwen3_next": "Qwen3Next",
    "recurrent_gemma": "RecurrentGemma",
    "rembert": "RemBert",
    "roberta": "Roberta",
    "roberta-prelayernorm": "RobertaPreLayerNorm",
    "roformer": "RoFormer",
    "rwkv": "Rwkv",
    "seed_oss": "SeedOss",
    "smollm3": "SmolLM3",
    "solar_open": "SolarOpen",
    "stablelm": "StableLm",
    "starcoder2": "Starcoder2",
    "t5": "T5",
    "tapas": "Tapas",
    "umt5": "UMT5",
    "vaultgemma": "VaultGemma",
    "xglm": "XGLM",
    "xlm-roberta": "XLMRoberta",
    "xlm-roberta-xl": "XLMRobertaXL",
    "xlstm": "xLSTM",
    "youtu": "Youtu",
}
"""model_type -> what the names of all its classes begin with: `Gemma3` for Gemma3TextModel and Gemma3ForCausalLM.

Where two types have a class of one name, the one that it means comes first. A type's `FAMILY` is in the module
named like it. After a change, run `python -m tools.class_stub`.
"""

MODULES: Mapping[str, str] = {"gpt-sw3": "gpt2"}
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
