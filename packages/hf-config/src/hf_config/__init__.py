"""Typed configurations of Hugging Face checkpoints.

Names load on first use, each family from a module of its own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_config.auto import AutoConfig as AutoConfig
    from hf_config.base import ConfigOverrides as ConfigOverrides
    from hf_config.base import PreTrainedConfig as PreTrainedConfig
    from hf_config.families.afmoe import AfmoeConfig as AfmoeConfig
    from hf_config.families.apertus import ApertusConfig as ApertusConfig
    from hf_config.families.arcee import ArceeConfig as ArceeConfig
    from hf_config.families.aria_text import AriaTextConfig as AriaTextConfig
    from hf_config.families.beam import BeamConfig as BeamConfig
    from hf_config.families.bert import BertConfig as BertConfig
    from hf_config.families.biogpt import BioGptConfig as BioGptConfig
    from hf_config.families.bitnet import BitNetConfig as BitNetConfig
    from hf_config.families.bloom import BloomConfig as BloomConfig
    from hf_config.families.codegen import CodeGenConfig as CodeGenConfig
    from hf_config.families.cohere import CohereConfig as CohereConfig
    from hf_config.families.cohere2 import Cohere2Config as Cohere2Config
    from hf_config.families.cohere2_moe import Cohere2MoeConfig as Cohere2MoeConfig
    from hf_config.families.cohere_compass_text import CohereCompassTextConfig as CohereCompassTextConfig
    from hf_config.families.ctrl import CTRLConfig as CTRLConfig
    from hf_config.families.cwm import CwmConfig as CwmConfig
    from hf_config.families.dbrx import DbrxConfig as DbrxConfig
    from hf_config.families.dots1 import Dots1Config as Dots1Config
    from hf_config.families.ernie4_5 import Ernie4_5Config as Ernie4_5Config
    from hf_config.families.ernie4_5_moe import Ernie4_5_MoeConfig as Ernie4_5_MoeConfig
    from hf_config.families.exaone4 import Exaone4Config as Exaone4Config
    from hf_config.families.exaone_moe import ExaoneMoeConfig as ExaoneMoeConfig
    from hf_config.families.falcon import FalconConfig as FalconConfig
    from hf_config.families.flex_olmo import FlexOlmoConfig as FlexOlmoConfig
    from hf_config.families.flint import FlintConfig as FlintConfig
    from hf_config.families.gemma import GemmaConfig as GemmaConfig
    from hf_config.families.gemma2 import Gemma2Config as Gemma2Config
    from hf_config.families.gemma3_text import Gemma3TextConfig as Gemma3TextConfig
    from hf_config.families.gemma4_text import Gemma4TextConfig as Gemma4TextConfig
    from hf_config.families.gemma4_unified_text import Gemma4UnifiedTextConfig as Gemma4UnifiedTextConfig
    from hf_config.families.glm import GlmConfig as GlmConfig
    from hf_config.families.glm4 import Glm4Config as Glm4Config
    from hf_config.families.glm4_moe import Glm4MoeConfig as Glm4MoeConfig
    from hf_config.families.gpt2 import GPT2Config as GPT2Config
    from hf_config.families.gpt_bigcode import GPTBigCodeConfig as GPTBigCodeConfig
    from hf_config.families.gpt_neo import GPTNeoConfig as GPTNeoConfig
    from hf_config.families.gpt_neox import GPTNeoXConfig as GPTNeoXConfig
    from hf_config.families.gpt_neox_japanese import GPTNeoXJapaneseConfig as GPTNeoXJapaneseConfig
    from hf_config.families.gpt_oss import GptOssConfig as GptOssConfig
    from hf_config.families.gptj import GPTJConfig as GPTJConfig
    from hf_config.families.granite import GraniteConfig as GraniteConfig
    from hf_config.families.granite_swa import GraniteSWAConfig as GraniteSWAConfig
    from hf_config.families.granitemoe import GraniteMoeConfig as GraniteMoeConfig
    from hf_config.families.granitemoe_swa import GraniteMoeSWAConfig as GraniteMoeSWAConfig
    from hf_config.families.granitemoeshared import GraniteMoeSharedConfig as GraniteMoeSharedConfig
    from hf_config.families.helium import HeliumConfig as HeliumConfig
    from hf_config.families.hunyuan_v1_dense import HunYuanDenseV1Config as HunYuanDenseV1Config
    from hf_config.families.hunyuan_v1_moe import HunYuanMoEV1Config as HunYuanMoEV1Config
    from hf_config.families.hy_v3 import HYV3Config as HYV3Config
    from hf_config.families.hyperclovax import HyperCLOVAXConfig as HyperCLOVAXConfig
    from hf_config.families.internlm3 import InternLM3Config as InternLM3Config
    from hf_config.families.iquestcoder import IQuestCoderConfig as IQuestCoderConfig
    from hf_config.families.jais2 import Jais2Config as Jais2Config
    from hf_config.families.kolibri1 import Kolibri1Config as Kolibri1Config
    from hf_config.families.laguna import LagunaConfig as LagunaConfig
    from hf_config.families.llama import LlamaConfig as LlamaConfig
    from hf_config.families.llama4 import Llama4Config as Llama4Config
    from hf_config.families.llama4_text import Llama4TextConfig as Llama4TextConfig
    from hf_config.families.mellum import MellumConfig as MellumConfig
    from hf_config.families.mimo_v2_flash import MiMoV2FlashConfig as MiMoV2FlashConfig
    from hf_config.families.minimax_m2 import MiniMaxM2Config as MiniMaxM2Config
    from hf_config.families.ministral import MinistralConfig as MinistralConfig
    from hf_config.families.ministral3 import Ministral3Config as Ministral3Config
    from hf_config.families.mistral import MistralConfig as MistralConfig
    from hf_config.families.mixtral import MixtralConfig as MixtralConfig
    from hf_config.families.modernbert_decoder import ModernBertDecoderConfig as ModernBertDecoderConfig
    from hf_config.families.mpt import MptConfig as MptConfig
    from hf_config.families.nanochat import NanoChatConfig as NanoChatConfig
    from hf_config.families.nemotron import NemotronConfig as NemotronConfig
    from hf_config.families.olmo import OlmoConfig as OlmoConfig
    from hf_config.families.olmo2 import Olmo2Config as Olmo2Config
    from hf_config.families.olmo3 import Olmo3Config as Olmo3Config
    from hf_config.families.olmoe import OlmoeConfig as OlmoeConfig
    from hf_config.families.openai_gpt import OpenAIGPTConfig as OpenAIGPTConfig
    from hf_config.families.opt import OPTConfig as OPTConfig
    from hf_config.families.persimmon import PersimmonConfig as PersimmonConfig
    from hf_config.families.phi import PhiConfig as PhiConfig
    from hf_config.families.phi3 import Phi3Config as Phi3Config
    from hf_config.families.phimoe import PhimoeConfig as PhimoeConfig
    from hf_config.families.qwen2 import Qwen2Config as Qwen2Config
    from hf_config.families.qwen2_moe import Qwen2MoeConfig as Qwen2MoeConfig
    from hf_config.families.qwen3 import Qwen3Config as Qwen3Config
    from hf_config.families.qwen3_moe import Qwen3MoeConfig as Qwen3MoeConfig
    from hf_config.families.seed_oss import SeedOssConfig as SeedOssConfig
    from hf_config.families.smollm3 import SmolLM3Config as SmolLM3Config
    from hf_config.families.solar_open import SolarOpenConfig as SolarOpenConfig
    from hf_config.families.stablelm import StableLmConfig as StableLmConfig
    from hf_config.families.starcoder2 import Starcoder2Config as Starcoder2Config
    from hf_config.families.vaultgemma import VaultGemmaConfig as VaultGemmaConfig
    from hf_config.families.xglm import XGLMConfig as XGLMConfig
    from hf_config.registry import config_class as config_class
    from hf_config.registry import model_types as model_types
    from hf_config.rope import RopeParameters as RopeParameters

__all__ = [
    "AfmoeConfig",
    "ApertusConfig",
    "ArceeConfig",
    "AriaTextConfig",
    "AutoConfig",
    "BeamConfig",
    "BertConfig",
    "BioGptConfig",
    "BitNetConfig",
    "BloomConfig",
    "CTRLConfig",
    "CodeGenConfig",
    "Cohere2Config",
    "Cohere2MoeConfig",
    "CohereCompassTextConfig",
    "CohereConfig",
    "ConfigOverrides",
    "CwmConfig",
    "DbrxConfig",
    "Dots1Config",
    "Ernie4_5Config",
    "Ernie4_5_MoeConfig",
    "Exaone4Config",
    "ExaoneMoeConfig",
    "FalconConfig",
    "FlexOlmoConfig",
    "FlintConfig",
    "GPT2Config",
    "GPTBigCodeConfig",
    "GPTJConfig",
    "GPTNeoConfig",
    "GPTNeoXConfig",
    "GPTNeoXJapaneseConfig",
    "Gemma2Config",
    "Gemma3TextConfig",
    "Gemma4TextConfig",
    "Gemma4UnifiedTextConfig",
    "GemmaConfig",
    "Glm4Config",
    "Glm4MoeConfig",
    "GlmConfig",
    "GptOssConfig",
    "GraniteConfig",
    "GraniteMoeConfig",
    "GraniteMoeSWAConfig",
    "GraniteMoeSharedConfig",
    "GraniteSWAConfig",
    "HYV3Config",
    "HeliumConfig",
    "HunYuanDenseV1Config",
    "HunYuanMoEV1Config",
    "HyperCLOVAXConfig",
    "IQuestCoderConfig",
    "InternLM3Config",
    "Jais2Config",
    "Kolibri1Config",
    "LagunaConfig",
    "Llama4Config",
    "Llama4TextConfig",
    "LlamaConfig",
    "MellumConfig",
    "MiMoV2FlashConfig",
    "MiniMaxM2Config",
    "Ministral3Config",
    "MinistralConfig",
    "MistralConfig",
    "MixtralConfig",
    "ModernBertDecoderConfig",
    "MptConfig",
    "NanoChatConfig",
    "NemotronConfig",
    "OPTConfig",
    "Olmo2Config",
    "Olmo3Config",
    "OlmoConfig",
    "OlmoeConfig",
    "OpenAIGPTConfig",
    "PersimmonConfig",
    "Phi3Config",
    "PhiConfig",
    "PhimoeConfig",
    "PreTrainedConfig",
    "Qwen2Config",
    "Qwen2MoeConfig",
    "Qwen3Config",
    "Qwen3MoeConfig",
    "RopeParameters",
    "SeedOssConfig",
    "SmolLM3Config",
    "SolarOpenConfig",
    "StableLmConfig",
    "Starcoder2Config",
    "VaultGemmaConfig",
    "XGLMConfig",
    "config_class",
    "model_types",
]

_MODULES = {
    "AutoConfig": "auto",
    "ConfigOverrides": "base",
    "PreTrainedConfig": "base",
    "RopeParameters": "rope",
    "config_class": "registry",
    "model_types": "registry",
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
