"""One module for each family: the fields of its config.json, with their types and defaults.

The classes load on first use. A test keeps the names here equal to the registry.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_config.families.afmoe import AfmoeConfig as AfmoeConfig
    from hf_config.families.albert import AlbertConfig as AlbertConfig
    from hf_config.families.apertus import ApertusConfig as ApertusConfig
    from hf_config.families.arcee import ArceeConfig as ArceeConfig
    from hf_config.families.aria_text import AriaTextConfig as AriaTextConfig
    from hf_config.families.axk1 import AXK1Config as AXK1Config
    from hf_config.families.axk2 import AXK2Config as AXK2Config
    from hf_config.families.bailing_hybrid import BailingHybridConfig as BailingHybridConfig
    from hf_config.families.bamba import BambaConfig as BambaConfig
    from hf_config.families.bart import BartConfig as BartConfig
    from hf_config.families.beam import BeamConfig as BeamConfig
    from hf_config.families.bert import BertConfig as BertConfig
    from hf_config.families.bert_generation import BertGenerationConfig as BertGenerationConfig
    from hf_config.families.big_bird import BigBirdConfig as BigBirdConfig
    from hf_config.families.bigbird_pegasus import BigBirdPegasusConfig as BigBirdPegasusConfig
    from hf_config.families.biogpt import BioGptConfig as BioGptConfig
    from hf_config.families.bitnet import BitNetConfig as BitNetConfig
    from hf_config.families.blenderbot import BlenderbotConfig as BlenderbotConfig
    from hf_config.families.blenderbot_small import BlenderbotSmallConfig as BlenderbotSmallConfig
    from hf_config.families.bloom import BloomConfig as BloomConfig
    from hf_config.families.camembert import CamembertConfig as CamembertConfig
    from hf_config.families.codegen import CodeGenConfig as CodeGenConfig
    from hf_config.families.cohere import CohereConfig as CohereConfig
    from hf_config.families.cohere2 import Cohere2Config as Cohere2Config
    from hf_config.families.cohere2_moe import Cohere2MoeConfig as Cohere2MoeConfig
    from hf_config.families.cohere_compass_text import CohereCompassTextConfig as CohereCompassTextConfig
    from hf_config.families.cpmant import CpmAntConfig as CpmAntConfig
    from hf_config.families.ctrl import CTRLConfig as CTRLConfig
    from hf_config.families.cwm import CwmConfig as CwmConfig
    from hf_config.families.data2vec_text import Data2VecTextConfig as Data2VecTextConfig
    from hf_config.families.dbrx import DbrxConfig as DbrxConfig
    from hf_config.families.deberta import DebertaConfig as DebertaConfig
    from hf_config.families.deberta_v2 import DebertaV2Config as DebertaV2Config
    from hf_config.families.deepseek_v2 import DeepseekV2Config as DeepseekV2Config
    from hf_config.families.deepseek_v3 import DeepseekV3Config as DeepseekV3Config
    from hf_config.families.deepseek_v32 import DeepseekV32Config as DeepseekV32Config
    from hf_config.families.diffllama import DiffLlamaConfig as DiffLlamaConfig
    from hf_config.families.distilbert import DistilBertConfig as DistilBertConfig
    from hf_config.families.doge import DogeConfig as DogeConfig
    from hf_config.families.dots1 import Dots1Config as Dots1Config
    from hf_config.families.dots3_note import Dots3NoteConfig as Dots3NoteConfig
    from hf_config.families.dots3_note_text import Dots3NoteTextConfig as Dots3NoteTextConfig
    from hf_config.families.electra import ElectraConfig as ElectraConfig
    from hf_config.families.encoder_decoder import EncoderDecoderConfig as EncoderDecoderConfig
    from hf_config.families.ernie import ErnieConfig as ErnieConfig
    from hf_config.families.ernie4_5 import Ernie4_5Config as Ernie4_5Config
    from hf_config.families.ernie4_5_moe import Ernie4_5_MoeConfig as Ernie4_5_MoeConfig
    from hf_config.families.exaone4 import Exaone4Config as Exaone4Config
    from hf_config.families.exaone_moe import ExaoneMoeConfig as ExaoneMoeConfig
    from hf_config.families.falcon import FalconConfig as FalconConfig
    from hf_config.families.falcon_h1 import FalconH1Config as FalconH1Config
    from hf_config.families.falcon_mamba import FalconMambaConfig as FalconMambaConfig
    from hf_config.families.flex_olmo import FlexOlmoConfig as FlexOlmoConfig
    from hf_config.families.flint import FlintConfig as FlintConfig
    from hf_config.families.funnel import FunnelConfig as FunnelConfig
    from hf_config.families.gemma import GemmaConfig as GemmaConfig
    from hf_config.families.gemma2 import Gemma2Config as Gemma2Config
    from hf_config.families.gemma3_text import Gemma3TextConfig as Gemma3TextConfig
    from hf_config.families.gemma3n_text import Gemma3nTextConfig as Gemma3nTextConfig
    from hf_config.families.gemma4_text import Gemma4TextConfig as Gemma4TextConfig
    from hf_config.families.gemma4_unified_text import Gemma4UnifiedTextConfig as Gemma4UnifiedTextConfig
    from hf_config.families.glm import GlmConfig as GlmConfig
    from hf_config.families.glm4 import Glm4Config as Glm4Config
    from hf_config.families.glm4_moe import Glm4MoeConfig as Glm4MoeConfig
    from hf_config.families.glm4_moe_lite import Glm4MoeLiteConfig as Glm4MoeLiteConfig
    from hf_config.families.glm_moe_dsa import GlmMoeDsaConfig as GlmMoeDsaConfig
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
    from hf_config.families.granitemoehybrid import GraniteMoeHybridConfig as GraniteMoeHybridConfig
    from hf_config.families.granitemoeshared import GraniteMoeSharedConfig as GraniteMoeSharedConfig
    from hf_config.families.helium import HeliumConfig as HeliumConfig
    from hf_config.families.hrm_text import HrmTextConfig as HrmTextConfig
    from hf_config.families.hunyuan_v1_dense import HunYuanDenseV1Config as HunYuanDenseV1Config
    from hf_config.families.hunyuan_v1_moe import HunYuanMoEV1Config as HunYuanMoEV1Config
    from hf_config.families.hy_v3 import HYV3Config as HYV3Config
    from hf_config.families.hy_v4 import HYV4Config as HYV4Config
    from hf_config.families.hyperclovax import HyperCLOVAXConfig as HyperCLOVAXConfig
    from hf_config.families.internlm3 import InternLM3Config as InternLM3Config
    from hf_config.families.iquestcoder import IQuestCoderConfig as IQuestCoderConfig
    from hf_config.families.jais2 import Jais2Config as Jais2Config
    from hf_config.families.jamba import JambaConfig as JambaConfig
    from hf_config.families.jetmoe import JetMoeConfig as JetMoeConfig
    from hf_config.families.kimi_linear import KimiLinearConfig as KimiLinearConfig
    from hf_config.families.kolibri1 import Kolibri1Config as Kolibri1Config
    from hf_config.families.laguna import LagunaConfig as LagunaConfig
    from hf_config.families.layoutlm import LayoutLMConfig as LayoutLMConfig
    from hf_config.families.led import LEDConfig as LEDConfig
    from hf_config.families.lfm2 import Lfm2Config as Lfm2Config
    from hf_config.families.lfm2_moe import Lfm2MoeConfig as Lfm2MoeConfig
    from hf_config.families.lfm3 import Lfm3Config as Lfm3Config
    from hf_config.families.llama import LlamaConfig as LlamaConfig
    from hf_config.families.llama4 import Llama4Config as Llama4Config
    from hf_config.families.llama4_text import Llama4TextConfig as Llama4TextConfig
    from hf_config.families.longcat_flash import LongcatFlashConfig as LongcatFlashConfig
    from hf_config.families.longformer import LongformerConfig as LongformerConfig
    from hf_config.families.longt5 import LongT5Config as LongT5Config
    from hf_config.families.m2m_100 import M2M100Config as M2M100Config
    from hf_config.families.mamba import MambaConfig as MambaConfig
    from hf_config.families.mamba2 import Mamba2Config as Mamba2Config
    from hf_config.families.marian import MarianConfig as MarianConfig
    from hf_config.families.mbart import MBartConfig as MBartConfig
    from hf_config.families.megatron_bert import MegatronBertConfig as MegatronBertConfig
    from hf_config.families.mellum import MellumConfig as MellumConfig
    from hf_config.families.mimo_v2_flash import MiMoV2FlashConfig as MiMoV2FlashConfig
    from hf_config.families.minicpm3 import MiniCPM3Config as MiniCPM3Config
    from hf_config.families.minimax import MiniMaxConfig as MiniMaxConfig
    from hf_config.families.minimax_m2 import MiniMaxM2Config as MiniMaxM2Config
    from hf_config.families.minimax_m3_vl_text import MiniMaxM3VLTextConfig as MiniMaxM3VLTextConfig
    from hf_config.families.ministral import MinistralConfig as MinistralConfig
    from hf_config.families.ministral3 import Ministral3Config as Ministral3Config
    from hf_config.families.mistral import MistralConfig as MistralConfig
    from hf_config.families.mistral4 import Mistral4Config as Mistral4Config
    from hf_config.families.mixtral import MixtralConfig as MixtralConfig
    from hf_config.families.modernbert import ModernBertConfig as ModernBertConfig
    from hf_config.families.modernbert_decoder import ModernBertDecoderConfig as ModernBertDecoderConfig
    from hf_config.families.mpnet import MPNetConfig as MPNetConfig
    from hf_config.families.mpt import MptConfig as MptConfig
    from hf_config.families.mt5 import MT5Config as MT5Config
    from hf_config.families.mvp import MvpConfig as MvpConfig
    from hf_config.families.nanochat import NanoChatConfig as NanoChatConfig
    from hf_config.families.nemotron import NemotronConfig as NemotronConfig
    from hf_config.families.nemotron_h import NemotronHConfig as NemotronHConfig
    from hf_config.families.nystromformer import NystromformerConfig as NystromformerConfig
    from hf_config.families.olmo import OlmoConfig as OlmoConfig
    from hf_config.families.olmo2 import Olmo2Config as Olmo2Config
    from hf_config.families.olmo3 import Olmo3Config as Olmo3Config
    from hf_config.families.olmo_hybrid import OlmoHybridConfig as OlmoHybridConfig
    from hf_config.families.olmoe import OlmoeConfig as OlmoeConfig
    from hf_config.families.openai_gpt import OpenAIGPTConfig as OpenAIGPTConfig
    from hf_config.families.opt import OPTConfig as OPTConfig
    from hf_config.families.pegasus import PegasusConfig as PegasusConfig
    from hf_config.families.persimmon import PersimmonConfig as PersimmonConfig
    from hf_config.families.phi import PhiConfig as PhiConfig
    from hf_config.families.phi3 import Phi3Config as Phi3Config
    from hf_config.families.phimoe import PhimoeConfig as PhimoeConfig
    from hf_config.families.plbart import PLBartConfig as PLBartConfig
    from hf_config.families.prophetnet import ProphetNetConfig as ProphetNetConfig
    from hf_config.families.qwen2 import Qwen2Config as Qwen2Config
    from hf_config.families.qwen2_moe import Qwen2MoeConfig as Qwen2MoeConfig
    from hf_config.families.qwen3 import Qwen3Config as Qwen3Config
    from hf_config.families.qwen3_5 import Qwen3_5Config as Qwen3_5Config
    from hf_config.families.qwen3_5_moe import Qwen3_5MoeConfig as Qwen3_5MoeConfig
    from hf_config.families.qwen3_5_moe_text import Qwen3_5MoeTextConfig as Qwen3_5MoeTextConfig
    from hf_config.families.qwen3_5_text import Qwen3_5TextConfig as Qwen3_5TextConfig
    from hf_config.families.qwen3_moe import Qwen3MoeConfig as Qwen3MoeConfig
    from hf_config.families.qwen3_next import Qwen3NextConfig as Qwen3NextConfig
    from hf_config.families.recurrent_gemma import RecurrentGemmaConfig as RecurrentGemmaConfig
    from hf_config.families.reformer import ReformerConfig as ReformerConfig
    from hf_config.families.rembert import RemBertConfig as RemBertConfig
    from hf_config.families.roberta import RobertaConfig as RobertaConfig
    from hf_config.families.roberta_prelayernorm import RobertaPreLayerNormConfig as RobertaPreLayerNormConfig
    from hf_config.families.roc_bert import RoCBertConfig as RoCBertConfig
    from hf_config.families.roformer import RoFormerConfig as RoFormerConfig
    from hf_config.families.rwkv import RwkvConfig as RwkvConfig
    from hf_config.families.seed_oss import SeedOssConfig as SeedOssConfig
    from hf_config.families.smollm3 import SmolLM3Config as SmolLM3Config
    from hf_config.families.solar_open import SolarOpenConfig as SolarOpenConfig
    from hf_config.families.stablelm import StableLmConfig as StableLmConfig
    from hf_config.families.starcoder2 import Starcoder2Config as Starcoder2Config
    from hf_config.families.t5 import T5Config as T5Config
    from hf_config.families.tapas import TapasConfig as TapasConfig
    from hf_config.families.trocr import TrOCRConfig as TrOCRConfig
    from hf_config.families.umt5 import UMT5Config as UMT5Config
    from hf_config.families.vaultgemma import VaultGemmaConfig as VaultGemmaConfig
    from hf_config.families.xglm import XGLMConfig as XGLMConfig
    from hf_config.families.xlm import XLMConfig as XLMConfig
    from hf_config.families.xlm_roberta import XLMRobertaConfig as XLMRobertaConfig
    from hf_config.families.xlm_roberta_xl import XLMRobertaXLConfig as XLMRobertaXLConfig
    from hf_config.families.xlnet import XLNetConfig as XLNetConfig
    from hf_config.families.xlstm import xLSTMConfig as xLSTMConfig
    from hf_config.families.xmod import XmodConfig as XmodConfig
    from hf_config.families.youtu import YoutuConfig as YoutuConfig
    from hf_config.families.zamba import ZambaConfig as ZambaConfig
    from hf_config.families.zamba2 import Zamba2Config as Zamba2Config
    from hf_config.families.zaya import ZayaConfig as ZayaConfig

__all__ = [
    "AXK1Config",
    "AXK2Config",
    "AfmoeConfig",
    "AlbertConfig",
    "ApertusConfig",
    "ArceeConfig",
    "AriaTextConfig",
    "BailingHybridConfig",
    "BambaConfig",
    "BartConfig",
    "BeamConfig",
    "BertConfig",
    "BertGenerationConfig",
    "BigBirdConfig",
    "BigBirdPegasusConfig",
    "BioGptConfig",
    "BitNetConfig",
    "BlenderbotConfig",
    "BlenderbotSmallConfig",
    "BloomConfig",
    "CTRLConfig",
    "CamembertConfig",
    "CodeGenConfig",
    "Cohere2Config",
    "Cohere2MoeConfig",
    "CohereCompassTextConfig",
    "CohereConfig",
    "CpmAntConfig",
    "CwmConfig",
    "Data2VecTextConfig",
    "DbrxConfig",
    "DebertaConfig",
    "DebertaV2Config",
    "DeepseekV2Config",
    "DeepseekV3Config",
    "DeepseekV32Config",
    "DiffLlamaConfig",
    "DistilBertConfig",
    "DogeConfig",
    "Dots1Config",
    "Dots3NoteConfig",
    "Dots3NoteTextConfig",
    "ElectraConfig",
    "EncoderDecoderConfig",
    "Ernie4_5Config",
    "Ernie4_5_MoeConfig",
    "ErnieConfig",
    "Exaone4Config",
    "ExaoneMoeConfig",
    "FalconConfig",
    "FalconH1Config",
    "FalconMambaConfig",
    "FlexOlmoConfig",
    "FlintConfig",
    "FunnelConfig",
    "GPT2Config",
    "GPTBigCodeConfig",
    "GPTJConfig",
    "GPTNeoConfig",
    "GPTNeoXConfig",
    "GPTNeoXJapaneseConfig",
    "Gemma2Config",
    "Gemma3TextConfig",
    "Gemma3nTextConfig",
    "Gemma4TextConfig",
    "Gemma4UnifiedTextConfig",
    "GemmaConfig",
    "Glm4Config",
    "Glm4MoeConfig",
    "Glm4MoeLiteConfig",
    "GlmConfig",
    "GlmMoeDsaConfig",
    "GptOssConfig",
    "GraniteConfig",
    "GraniteMoeConfig",
    "GraniteMoeHybridConfig",
    "GraniteMoeSWAConfig",
    "GraniteMoeSharedConfig",
    "GraniteSWAConfig",
    "HYV3Config",
    "HYV4Config",
    "HeliumConfig",
    "HrmTextConfig",
    "HunYuanDenseV1Config",
    "HunYuanMoEV1Config",
    "HyperCLOVAXConfig",
    "IQuestCoderConfig",
    "InternLM3Config",
    "Jais2Config",
    "JambaConfig",
    "JetMoeConfig",
    "KimiLinearConfig",
    "Kolibri1Config",
    "LEDConfig",
    "LagunaConfig",
    "LayoutLMConfig",
    "Lfm2Config",
    "Lfm2MoeConfig",
    "Lfm3Config",
    "Llama4Config",
    "Llama4TextConfig",
    "LlamaConfig",
    "LongT5Config",
    "LongcatFlashConfig",
    "LongformerConfig",
    "M2M100Config",
    "MBartConfig",
    "MPNetConfig",
    "MT5Config",
    "Mamba2Config",
    "MambaConfig",
    "MarianConfig",
    "MegatronBertConfig",
    "MellumConfig",
    "MiMoV2FlashConfig",
    "MiniCPM3Config",
    "MiniMaxConfig",
    "MiniMaxM2Config",
    "MiniMaxM3VLTextConfig",
    "Ministral3Config",
    "MinistralConfig",
    "Mistral4Config",
    "MistralConfig",
    "MixtralConfig",
    "ModernBertConfig",
    "ModernBertDecoderConfig",
    "MptConfig",
    "MvpConfig",
    "NanoChatConfig",
    "NemotronConfig",
    "NemotronHConfig",
    "NystromformerConfig",
    "OPTConfig",
    "Olmo2Config",
    "Olmo3Config",
    "OlmoConfig",
    "OlmoHybridConfig",
    "OlmoeConfig",
    "OpenAIGPTConfig",
    "PLBartConfig",
    "PegasusConfig",
    "PersimmonConfig",
    "Phi3Config",
    "PhiConfig",
    "PhimoeConfig",
    "ProphetNetConfig",
    "Qwen2Config",
    "Qwen2MoeConfig",
    "Qwen3Config",
    "Qwen3MoeConfig",
    "Qwen3NextConfig",
    "Qwen3_5Config",
    "Qwen3_5MoeConfig",
    "Qwen3_5MoeTextConfig",
    "Qwen3_5TextConfig",
    "RecurrentGemmaConfig",
    "ReformerConfig",
    "RemBertConfig",
    "RoCBertConfig",
    "RoFormerConfig",
    "RobertaConfig",
    "RobertaPreLayerNormConfig",
    "RwkvConfig",
    "SeedOssConfig",
    "SmolLM3Config",
    "SolarOpenConfig",
    "StableLmConfig",
    "Starcoder2Config",
    "T5Config",
    "TapasConfig",
    "TrOCRConfig",
    "UMT5Config",
    "VaultGemmaConfig",
    "XGLMConfig",
    "XLMConfig",
    "XLMRobertaConfig",
    "XLMRobertaXLConfig",
    "XLNetConfig",
    "XmodConfig",
    "YoutuConfig",
    "Zamba2Config",
    "ZambaConfig",
    "ZayaConfig",
    "xLSTMConfig",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hf_config.families' has no attribute {name!r}")
    from hf_config.registry import FAMILIES, config_class

    return config_class(next(model_type for model_type, found in FAMILIES.items() if found == name))


def __dir__() -> list[str]:
    return list(__all__)
