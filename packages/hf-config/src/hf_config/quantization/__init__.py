"""How a checkpoint's weights were quantized: data only, one immutable class per method."""

from hf_config.quantization.base import QuantizationConfig

__all__ = ["QuantizationConfig"]
