"""The methods this package knows, by `quant_method`; each is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Method

METHODS: Mapping[str, str] = {
    "aqlm": "hf_quant.methods.codebook:AQLM",
    "auto-round": "hf_quant.methods.gptq:AUTO_ROUND",
    "awq": "hf_quant.methods.awq:AWQ",
    "bitnet": "hf_quant.methods.bitnet:BITNET",
    "bitsandbytes": "hf_quant.methods.bitsandbytes:BITSANDBYTES",
    "compressed-tensors": "hf_quant.methods.compressed:COMPRESSED",
    "eetq": "hf_quant.methods.eetq:EETQ",
    "fbgemm_fp8": "hf_quant.methods.fp8:FBGEMM",
    "fp8": "hf_quant.methods.fp8:FP8",
    "fp_quant": "hf_quant.methods.fp4:FP_QUANT",
    "gemma": "hf_quant.methods.gemma:GEMMA",
    "gguf": "hf_quant.methods.gguf:GGUF",
    "gptq": "hf_quant.methods.gptq:GPTQ",
    "higgs": "hf_quant.methods.codebook:HIGGS",
    "hqq": "hf_quant.methods.hqq:HQQ",
    "metal": "hf_quant.methods.mlx:METAL",
    "mlx": "hf_quant.methods.mlx:MLX",
    "modelopt": "hf_quant.methods.fp4:MODELOPT",
    "mxfp4": "hf_quant.methods.fp4:MXFP4",
    "mxfp8": "hf_quant.methods.fp8:MXFP8",
    "nvfp4": "hf_quant.methods.fp4:NVFP4",
    "quanto": "hf_quant.methods.quanto:QUANTO",
    "quark": "hf_quant.methods.quark:QUARK",
    "sinq": "hf_quant.methods.sinq:SINQ",
    "spqr": "hf_quant.methods.codebook:SPQR",
    "torchao": "hf_quant.methods.torchao:TORCHAO",
    "vptq": "hf_quant.methods.codebook:VPTQ",
}
"""Where each method is: module and name."""


def find_method(name: str) -> Method:
    """The method called `name` in quantization_config. Raises QuantizationConfigError."""
    if name not in METHODS:
        raise QuantizationConfigError(
            f"hf-quant has no method {name!r}", fix=f"use one of {', '.join(METHODS)}"
        )
    module, _, attribute = METHODS[name].partition(":")
    method = getattr(import_module(module), attribute)
    assert isinstance(method, Method), f"{METHODS[name]} is no method"
    return method
