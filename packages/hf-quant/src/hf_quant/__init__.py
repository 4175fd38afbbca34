"""Quantized weights for hf-modeling: reading, making, running and saving them, with a receipt.

`from_pretrained` of any model class finds this package by itself; what is exported here is for looking ahead
(`plan`), for models in memory (`quantize_model`), and for formats of one's own (`Codec`, `Method`).
"""

from hf_quant.codec import Codec, OwnProduct, Part, Parts, Restating, Rows, Shape, Spec, Stored
from hf_quant.convert import Conversion, Site, plan, quantize_model
from hf_quant.linear import QuantEmbedding, QuantExpertWeight, QuantLinear
from hf_quant.method import Beside, Method, Place, Saved
from hf_quant.methods import METHODS, find_method
from hf_quant.registry import methods
from hf_quant.report import Line, QuantizationReport
from hf_quant.skip import Skip

__all__ = [
    "METHODS",
    "Beside",
    "Codec",
    "Conversion",
    "Line",
    "Method",
    "OwnProduct",
    "Part",
    "Parts",
    "Place",
    "QuantEmbedding",
    "QuantExpertWeight",
    "QuantLinear",
    "QuantizationReport",
    "Restating",
    "Rows",
    "Saved",
    "Shape",
    "Site",
    "Skip",
    "Spec",
    "Stored",
    "find_method",
    "methods",
    "plan",
    "quantize_model",
]
