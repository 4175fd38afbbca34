"""Quantizing with data: GPTQ, AWQ and signed-gradient rounding, and smoothing activations for 8 bits."""

from hf_quant.calibrate.data import perplexity, rows_of
from hf_quant.calibrate.run import CalibrationReport, LayerError, Progress, calibrate, smooth

__all__ = ["CalibrationReport", "LayerError", "Progress", "calibrate", "perplexity", "rows_of", "smooth"]
