"""Typed configurations of Hugging Face checkpoints. Names load on first use."""

from typing import TYPE_CHECKING

from hf_config import families as _families

if TYPE_CHECKING:
    from hf_config.auto import AutoConfig as AutoConfig
    from hf_config.base import ConfigOverrides as ConfigOverrides
    from hf_config.base import PreTrainedConfig as PreTrainedConfig
    from hf_config.families import *  # noqa: F403 # the families' classes, by its __all__
    from hf_config.generation import CompileConfig as CompileConfig
    from hf_config.generation import GenerationConfig as GenerationConfig
    from hf_config.quantization import AqlmConfig as AqlmConfig
    from hf_config.quantization import AutoRoundConfig as AutoRoundConfig
    from hf_config.quantization import AwqConfig as AwqConfig
    from hf_config.quantization import BitNetQuantConfig as BitNetQuantConfig
    from hf_config.quantization import BitsAndBytesConfig as BitsAndBytesConfig
    from hf_config.quantization import CompressedTensorsConfig as CompressedTensorsConfig
    from hf_config.quantization import EetqConfig as EetqConfig
    from hf_config.quantization import FbgemmFp8Config as FbgemmFp8Config
    from hf_config.quantization import FineGrainedFP8Config as FineGrainedFP8Config
    from hf_config.quantization import FourOverSixConfig as FourOverSixConfig
    from hf_config.quantization import FPQuantConfig as FPQuantConfig
    from hf_config.quantization import GemmaQuantizationConfig as GemmaQuantizationConfig
    from hf_config.quantization import GgufConfig as GgufConfig
    from hf_config.quantization import GPTQConfig as GPTQConfig
    from hf_config.quantization import HiggsConfig as HiggsConfig
    from hf_config.quantization import HqqConfig as HqqConfig
    from hf_config.quantization import MetalConfig as MetalConfig
    from hf_config.quantization import MlxConfig as MlxConfig
    from hf_config.quantization import ModelOptConfig as ModelOptConfig
    from hf_config.quantization import Mxfp4Config as Mxfp4Config
    from hf_config.quantization import NVFP4Config as NVFP4Config
    from hf_config.quantization import QuantizationConfig as QuantizationConfig
    from hf_config.quantization import QuantoConfig as QuantoConfig
    from hf_config.quantization import QuarkConfig as QuarkConfig
    from hf_config.quantization import SinqConfig as SinqConfig
    from hf_config.quantization import SpQRConfig as SpQRConfig
    from hf_config.quantization import TorchAoConfig as TorchAoConfig
    from hf_config.quantization import VptqConfig as VptqConfig
    from hf_config.registry import config_class as config_class
    from hf_config.registry import model_types as model_types
    from hf_config.rope import RopeParameters as RopeParameters
    from hf_config.watermark import SynthIDTextWatermarkingConfig as SynthIDTextWatermarkingConfig
    from hf_config.watermark import WatermarkingConfig as WatermarkingConfig

__all__ = [
    "AqlmConfig",
    "AutoConfig",
    "AutoRoundConfig",
    "AwqConfig",
    "BitNetQuantConfig",
    "BitsAndBytesConfig",
    "CompileConfig",
    "CompressedTensorsConfig",
    "ConfigOverrides",
    "EetqConfig",
    "FPQuantConfig",
    "FbgemmFp8Config",
    "FineGrainedFP8Config",
    "FourOverSixConfig",
    "GPTQConfig",
    "GemmaQuantizationConfig",
    "GenerationConfig",
    "GgufConfig",
    "HiggsConfig",
    "HqqConfig",
    "MetalConfig",
    "MlxConfig",
    "ModelOptConfig",
    "Mxfp4Config",
    "NVFP4Config",
    "PreTrainedConfig",
    "QuantizationConfig",
    "QuantoConfig",
    "QuarkConfig",
    "RopeParameters",
    "SinqConfig",
    "SpQRConfig",
    "SynthIDTextWatermarkingConfig",
    "TorchAoConfig",
    "VptqConfig",
    "WatermarkingConfig",
    "config_class",
    "model_types",
]
__all__ += _families.__all__

_MODULES = {
    "AqlmConfig": "quantization",
    "AutoConfig": "auto",
    "AutoRoundConfig": "quantization",
    "AwqConfig": "quantization",
    "BitNetQuantConfig": "quantization",
    "BitsAndBytesConfig": "quantization",
    "CompileConfig": "generation",
    "CompressedTensorsConfig": "quantization",
    "ConfigOverrides": "base",
    "EetqConfig": "quantization",
    "FPQuantConfig": "quantization",
    "FbgemmFp8Config": "quantization",
    "FineGrainedFP8Config": "quantization",
    "FourOverSixConfig": "quantization",
    "GPTQConfig": "quantization",
    "GemmaQuantizationConfig": "quantization",
    "GenerationConfig": "generation",
    "GgufConfig": "quantization",
    "HiggsConfig": "quantization",
    "HqqConfig": "quantization",
    "MetalConfig": "quantization",
    "MlxConfig": "quantization",
    "ModelOptConfig": "quantization",
    "Mxfp4Config": "quantization",
    "NVFP4Config": "quantization",
    "PreTrainedConfig": "base",
    "QuantizationConfig": "quantization",
    "QuantoConfig": "quantization",
    "QuarkConfig": "quantization",
    "RopeParameters": "rope",
    "SinqConfig": "quantization",
    "SpQRConfig": "quantization",
    "SynthIDTextWatermarkingConfig": "watermark",
    "TorchAoConfig": "quantization",
    "VptqConfig": "quantization",
    "WatermarkingConfig": "watermark",
    "config_class": "registry",
    "model_types": "registry",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hf_config' has no attribute {name!r}")
    if name not in _MODULES:
        return getattr(_families, name)
    from importlib import import_module

    return getattr(import_module(f"hf_config.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
