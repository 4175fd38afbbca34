"""The methods this package knows, by `quant_method`; each is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Method

METHODS: Mapping[str, str] = {
    "auto-round": "hf_quant.methods.gptq:AUTO_ROUND",
    "awq": "hf_quant.methods.awq:AWQ",
    "gptq": "hf_quant.methods.gptq:GPTQ",
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
