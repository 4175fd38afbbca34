"""Quantization formats for hf-modeling.

This version defines how formats are found: any installed package registers its quantizers under the
entry-point group `hf_modeling.quantizers`, and this registry lists them.
"""

from hf_quant.registry import methods

__all__ = ["methods"]
