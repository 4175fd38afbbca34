"""How a checkpoint's weights were quantized: data only, one immutable class for each method."""

from hf_config.quantization.base import QuantizationConfig
from hf_config.quantization.codebook import (
    AqlmConfig,
    BitNetQuantConfig,
    HiggsConfig,
    SpQRConfig,
    VptqConfig,
    VptqLayerConfig,
)
from hf_config.quantization.floating import (
    FbgemmFp8Config,
    FineGrainedFP8Config,
    FourOverSixConfig,
    FPQuantConfig,
    ModelOptConfig,
    Mxfp4Config,
    NVFP4Config,
)
from hf_config.quantization.integer import (
    AutoRoundConfig,
    AwqConfig,
    BitsAndBytesConfig,
    EetqConfig,
    GemmaQuantizationConfig,
    GPTQConfig,
    HqqConfig,
    MetalConfig,
    MlxConfig,
    QuantoConfig,
    SinqConfig,
    TorchAoConfig,
)
from hf_config.quantization.registry import METHODS
from hf_config.quantization.schemes import (
    CompressedTensorsConfig,
    GgufConfig,
    QuantizationArgs,
    QuantizationScheme,
    QuarkConfig,
)

__all__ = [
    "METHODS",
    "AqlmConfig",
    "AutoRoundConfig",
    "AwqConfig",
    "BitNetQuantConfig",
    "BitsAndBytesConfig",
    "CompressedTensorsConfig",
    "EetqConfig",
    "FPQuantConfig",
    "FbgemmFp8Config",
    "FineGrainedFP8Config",
    "FourOverSixConfig",
    "GPTQConfig",
    "GemmaQuantizationConfig",
    "GgufConfig",
    "HiggsConfig",
    "HqqConfig",
    "MetalConfig",
    "MlxConfig",
    "ModelOptConfig",
    "Mxfp4Config",
    "NVFP4Config",
    "QuantizationArgs",
    "QuantizationConfig",
    "QuantizationScheme",
    "QuantoConfig",
    "QuarkConfig",
    "SinqConfig",
    "SpQRConfig",
    "TorchAoConfig",
    "VptqConfig",
    "VptqLayerConfig",
]
