"""Which class reads which model_type; each family's module is imported when it is first asked for."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from hf_config.base import PreTrainedConfig
from hf_config.errors import ConfigError, UnknownModelTypeError

ENTRY_POINTS = "hf_config.families"
"""Other packages add families here: the entry point's name is the model_type, its object the config class."""

FAMILIES: Mapping[str, str] = {
    "afmoe": "AfmoeConfig",
    "albert": "AlbertConfig",
    "apertus": "ApertusConfig",
    "arcee": "ArceeConfig",
    "aria_text": "AriaTextConfig",
    "axk1": "AXK1Config",
    "axk2": "AXK2Config",
    "bailing_hybrid": "BailingHybridConfig",
    "bamba": "BambaConfig",
    "bart": "BartConfig",
    "beam": "BeamConfig",
    "bert": "BertConfig",
    "bert-generation": "BertGenerationConfig",
    "big_bird": "BigBirdConfig",
    "bigbird_pegasus": "BigBirdPegasusConfig",
    "biogpt": "BioGptConfig",
    "bitnet": "BitNetConfig",
    "blenderbot": "BlenderbotConfig",
    "blenderbot-small": "BlenderbotSmallConfig",
    "bloom": "BloomConfig",
    "camembert": "CamembertConfig",
    "codegen": "CodeGenConfig",
    "cohere": "CohereConfig",
    "cohere2": "Cohere2Config",
    "cohere2_moe": "Cohere2MoeConfig",
    "cohere_compass_text": "CohereCompassTextConfig",
    "cpmant": "CpmAntConfig",
    "ctrl": "CTRLConfig",
    "cwm": "CwmConfig",
    "data2vec-text": "Data2VecTextConfig",
    "dbrx": "DbrxConfig",
    "deberta": "DebertaConfig",
    "deberta-v2": "DebertaV2Config",
    "deepseek_v2": "DeepseekV2Config",
    "deepseek_v3": "DeepseekV3Config",
    "deepseek_v32": "DeepseekV32Config",
    "diffllama": "DiffLlamaConfig",
    "distilbert": "DistilBertConfig",
    "doge": "DogeConfig",
    "dots1": "Dots1Config",
    "dots3_note": "Dots3NoteConfig",
    "dots3_note_text": "Dots3NoteTextConfig",
    "electra": "ElectraConfig",
    "encoder-decoder": "EncoderDecoderConfig",
    "ernie": "ErnieConfig",
    "ernie4_5": "Ernie4_5Config",
    "ernie4_5_moe": "Ernie4_5_MoeConfig",
    "exaone4": "Exaone4Config",
    "exaone_moe": "ExaoneMoeConfig",
    "falcon": "FalconConfig",
    "falcon_h1": "FalconH1Config",
    "falcon_mamba": "FalconMambaConfig",
    "flex_olmo": "FlexOlmoConfig",
    "flint": "FlintConfig",
    "funnel": "FunnelConfig",
    "gemma": "GemmaConfig",
    "gemma2": "Gemma2Config",
    "gemma3_text": "Gemma3TextConfig",
    "gemma3n_text": "Gemma3nTextConfig",
    "gemma4_text": "Gemma4TextConfig",
    "gemma4_unified_text": "Gemma4UnifiedTextConfig",
    "glm": "GlmConfig",
    "glm4": "Glm4Config",
    "glm4_moe": "Glm4MoeConfig",
    "glm4_moe_lite": "Glm4MoeLiteConfig",
    "glm_moe_dsa": "GlmMoeDsaConfig",
    "gpt-sw3": "GPT2Config",
    "gpt2": "GPT2Config",
    "gpt_bigcode": "GPTBigCodeConfig",
    "gpt_neo": "GPTNeoConfig",
    "gpt_neox": "GPTNeoXConfig",
    "gpt_neox_japanese": "GPTNeoXJapaneseConfig",
    "gpt_oss": "GptOssConfig",
    "gptj": "GPTJConfig",
    "granite": "GraniteConfig",
    "granite_swa": "GraniteSWAConfig",
    "granitemoe": "GraniteMoeConfig",
    "granitemoe_swa": "GraniteMoeSWAConfig",
    "granitemoehybrid": "GraniteMoeHybridConfig",
    "granitemoeshared": "GraniteMoeSharedConfig",
    "helium": "HeliumConfig",
    "hrm_text": "HrmTextConfig",
    "hunyuan_v1_dense": "HunYuanDenseV1Config",
    "hunyuan_v1_moe": "HunYuanMoEV1Config",
    "hy_v3": "HYV3Config",
    "hy_v4": "HYV4Config",
    "hyperclovax": "HyperCLOVAXConfig",
    "internlm3": "InternLM3Config",
    "iquestcoder": "IQuestCoderConfig",
    "jais2": "Jais2Config",
    "jamba": "JambaConfig",
    "jetmoe": "JetMoeConfig",
    "kimi_linear": "KimiLinearConfig",
    "kolibri1": "Kolibri1Config",
    "laguna": "LagunaConfig",
    "layoutlm": "LayoutLMConfig",
    "led": "LEDConfig",
    "lfm2": "Lfm2Config",
    "lfm2_moe": "Lfm2MoeConfig",
    "lfm3": "Lfm3Config",
    "llama": "LlamaConfig",
    "llama4": "Llama4Config",
    "llama4_text": "Llama4TextConfig",
    "longcat_flash": "LongcatFlashConfig",
    "longformer": "LongformerConfig",
    "longt5": "LongT5Config",
    "m2m_100": "M2M100Config",
    "mamba": "MambaConfig",
    "mamba2": "Mamba2Config",
    "marian": "MarianConfig",
    "mbart": "MBartConfig",
    "megatron-bert": "MegatronBertConfig",
    "mellum": "MellumConfig",
    "mimo_v2_flash": "MiMoV2FlashConfig",
    "minicpm3": "MiniCPM3Config",
    "minimax": "MiniMaxConfig",
    "minimax_m2": "MiniMaxM2Config",
    "minimax_m3_vl_text": "MiniMaxM3VLTextConfig",
    "ministral": "MinistralConfig",
    "ministral3": "Ministral3Config",
    "mistral": "MistralConfig",
    "mistral4": "Mistral4Config",
    "mixtral": "MixtralConfig",
    "modernbert": "ModernBertConfig",
    "modernbert-decoder": "ModernBertDecoderConfig",
    "mpnet": "MPNetConfig",
    "mpt": "MptConfig",
    "mt5": "MT5Config",
    "mvp": "MvpConfig",
    "nanochat": "NanoChatConfig",
    "nemotron": "NemotronConfig",
    "nemotron_h": "NemotronHConfig",
    "nystromformer": "NystromformerConfig",
    "olmo": "OlmoConfig",
    "olmo2": "Olmo2Config",
    "olmo3": "Olmo3Config",
    "olmo_hybrid": "OlmoHybridConfig",
    "olmoe": "OlmoeConfig",
    "openai-gpt": "OpenAIGPTConfig",
    "opt": "OPTConfig",
    "pegasus": "PegasusConfig",
    "persimmon": "PersimmonConfig",
    "phi": "PhiConfig",
    "phi3": "Phi3Config",
    "phimoe": "PhimoeConfig",
    "plbart": "PLBartConfig",
    "prophetnet": "ProphetNetConfig",
    "qwen2": "Qwen2Config",
    "qwen2_moe": "Qwen2MoeConfig",
    "qwen3": "Qwen3Config",
    "qwen3_5": "Qwen3_5Config",
    "qwen3_5_moe": "Qwen3_5MoeConfig",
    "qwen3_5_moe_text": "Qwen3_5MoeTextConfig",
    "qwen3_5_text": "Qwen3_5TextConfig",
    "qwen3_moe": "Qwen3MoeConfig",
    "qwen3_next": "Qwen3NextConfig",
    "recurrent_gemma": "RecurrentGemmaConfig",
    "reformer": "ReformerConfig",
    "rembert": "RemBertConfig",
    "roberta": "RobertaConfig",
    "roberta-prelayernorm": "RobertaPreLayerNormConfig",
    "roc_bert": "RoCBertConfig",
    "roformer": "RoFormerConfig",
    "rwkv": "RwkvConfig",
    "seed_oss": "SeedOssConfig",
    "smollm3": "SmolLM3Config",
    "solar_open": "SolarOpenConfig",
    "stablelm": "StableLmConfig",
    "starcoder2": "Starcoder2Config",
    "t5": "T5Config",
    "tapas": "TapasConfig",
    "trocr": "TrOCRConfig",
    "umt5": "UMT5Config",
    "vaultgemma": "VaultGemmaConfig",
    "xglm": "XGLMConfig",
    "xlm": "XLMConfig",
    "xlm-roberta": "XLMRobertaConfig",
    "xlm-roberta-xl": "XLMRobertaXLConfig",
    "xlnet": "XLNetConfig",
    "xlstm": "xLSTMConfig",
    "xmod": "XmodConfig",
    "youtu": "YoutuConfig",
    "zamba": "ZambaConfig",
    "zamba2": "Zamba2Config",
    "zaya": "ZayaConfig",
}
"""model_type -> class, in the module `hf_config.families.<model_type>` (dashes as underscores)."""

MODULES: Mapping[str, str] = {"gpt-sw3": "gpt2"}
"""The module of a model_type that shares another one's class."""


@cache
def config_class(model_type: str) -> type[PreTrainedConfig]:
    """The class that reads configurations of this model_type. Raises UnknownModelTypeError."""
    name = FAMILIES.get(model_type)
    if name is not None:
        module = MODULES.get(model_type, model_type).replace("-", "_").replace(".", "_")
        return _checked(model_type, getattr(import_module(f"hf_config.families.{module}"), name))
    for entry in entry_points(group=ENTRY_POINTS, name=model_type):
        return _checked(model_type, entry.load())
    raise UnknownModelTypeError(model_type, model_types())


def model_types() -> tuple[str, ...]:
    """All model types that can be read, those of other installed packages included."""
    return tuple(sorted({*FAMILIES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))}))


def family_of(data: Mapping[str, object]) -> type[PreTrainedConfig]:
    """The class for a parsed config.json, by its model_type. Raises ConfigError."""
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ConfigError(
            "config.json has no model_type, so its family is unknown",
            fix='add "model_type", or read the file with the family\'s own class, such as LlamaConfig',
        )
    return config_class(model_type)


def _checked(model_type: str, found: object) -> type[PreTrainedConfig]:
    if isinstance(found, type) and issubclass(found, PreTrainedConfig):
        return found
    raise ConfigError(
        f"the entry point {model_type!r} of {ENTRY_POINTS} gives {found!r}, not a PreTrainedConfig class",
        fix="correct the package that registers it",
    )
