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
    "apertus": "ApertusConfig",
    "arcee": "ArceeConfig",
    "aria_text": "AriaTextConfig",
    "beam": "BeamConfig",
    "bert": "BertConfig",
    "biogpt": "BioGptConfig",
    "bitnet": "BitNetConfig",
    "bloom": "BloomConfig",
    "codegen": "CodeGenConfig",
    "cohere": "CohereConfig",
    "cohere2": "Cohere2Config",
    "cohere2_moe": "Cohere2MoeConfig",
    "cohere_compass_text": "CohereCompassTextConfig",
    "ctrl": "CTRLConfig",
    "cwm": "CwmConfig",
    "dbrx": "DbrxConfig",
    "dots1": "Dots1Config",
    "ernie4_5": "Ernie4_5Config",
    "ernie4_5_moe": "Ernie4_5_MoeConfig",
    "exaone4": "Exaone4Config",
    "exaone_moe": "ExaoneMoeConfig",
    "falcon": "FalconConfig",
    "flex_olmo": "FlexOlmoConfig",
    "flint": "FlintConfig",
    "gemma": "GemmaConfig",
    "gemma2": "Gemma2Config",
    "gemma3_text": "Gemma3TextConfig",
    "gemma4_text": "Gemma4TextConfig",
    "gemma4_unified_text": "Gemma4UnifiedTextConfig",
    "glm": "GlmConfig",
    "glm4": "Glm4Config",
    "glm4_moe": "Glm4MoeConfig",
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
    "granitemoeshared": "GraniteMoeSharedConfig",
    "helium": "HeliumConfig",
    "hunyuan_v1_dense": "HunYuanDenseV1Config",
    "hunyuan_v1_moe": "HunYuanMoEV1Config",
    "hy_v3": "HYV3Config",
    "hyperclovax": "HyperCLOVAXConfig",
    "internlm3": "InternLM3Config",
    "iquestcoder": "IQuestCoderConfig",
    "jais2": "Jais2Config",
    "kolibri1": "Kolibri1Config",
    "laguna": "LagunaConfig",
    "llama": "LlamaConfig",
    "llama4": "Llama4Config",
    "llama4_text": "Llama4TextConfig",
    "mellum": "MellumConfig",
    "mimo_v2_flash": "MiMoV2FlashConfig",
    "minimax_m2": "MiniMaxM2Config",
    "ministral": "MinistralConfig",
    "ministral3": "Ministral3Config",
    "mistral": "MistralConfig",
    "mixtral": "MixtralConfig",
    "modernbert-decoder": "ModernBertDecoderConfig",
    "mpt": "MptConfig",
    "nanochat": "NanoChatConfig",
    "nemotron": "NemotronConfig",
    "olmo": "OlmoConfig",
    "olmo2": "Olmo2Config",
    "olmo3": "Olmo3Config",
    "olmoe": "OlmoeConfig",
    "openai-gpt": "OpenAIGPTConfig",
    "opt": "OPTConfig",
    "persimmon": "PersimmonConfig",
    "phi": "PhiConfig",
    "phi3": "Phi3Config",
    "phimoe": "PhimoeConfig",
    "qwen2": "Qwen2Config",
    "qwen2_moe": "Qwen2MoeConfig",
    "qwen3": "Qwen3Config",
    "qwen3_moe": "Qwen3MoeConfig",
    "seed_oss": "SeedOssConfig",
    "smollm3": "SmolLM3Config",
    "solar_open": "SolarOpenConfig",
    "stablelm": "StableLmConfig",
    "starcoder2": "Starcoder2Config",
    "vaultgemma": "VaultGemmaConfig",
    "xglm": "XGLMConfig",
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
