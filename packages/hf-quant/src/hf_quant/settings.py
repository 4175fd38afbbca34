"""Which settings hold: those of the checkpoint, those the caller asks for, or both if they do not contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from hf_config.quantization import QuantizationConfig
from hf_modeling.quantizer import QuantizerRequest
from hf_quant.create import needs_data
from hf_quant.errors import AlreadyQuantizedError, QuantizationConfigError
from hf_quant.method import Method

FREE: Mapping[str, frozenset[str]] = {
    "auto-round": frozenset({"backend"}),
    "awq": frozenset({"backend"}),
    "compressed-tensors": frozenset({"dequantize", "use_optimized_inference"}),
    "fbgemm_fp8": frozenset({"activation_scale_ub"}),
    "fp8": frozenset({"dequantize", "modules_to_not_convert"}),
    "gptq": frozenset({"backend", "max_input_length"}),
    "metal": frozenset({"dequantize"}),
    "mxfp4": frozenset({"dequantize"}),
}
"""Settings that say how weights are used and not how they lie in files: the caller may change them."""


def agreed(method: Method, request: QuantizerRequest) -> QuantizationConfig:
    """The settings to go by. Raises AlreadyQuantizedError, QuantizationConfigError, CalibrationNeededError."""
    stored, asked = request.stored, request.asked
    if stored is None:
        assert asked is not None, "a request has at least one config"
        if method.create is None:
            raise needs_data(method)
        return asked
    if asked is None or asked == stored:
        return stored
    if asked.quant_method != stored.quant_method:
        raise AlreadyQuantizedError(
            f"{request.where} is quantized with {stored.quant_method!r} already; "
            f"quantization_config asks for {asked.quant_method!r}",
            fix="leave out quantization_config, or dequantize the model first: model.dequantize()",
        )
    given = {f.name: getattr(asked, f.name) for f in fields(asked)}
    usual = {name: getattr(type(asked)(), name) for name in given}
    free = FREE.get(method.name, frozenset())
    changes = {n: v for n, v in given.items() if v != usual[n] and v != getattr(stored, n)}
    if wrong := [name for name in changes if name not in free]:
        name = wrong[0]
        raise QuantizationConfigError(
            f"quantization_config says {name} = {given[name]!r}, and the checkpoint was made with "
            f"{getattr(stored, name)!r}",
            fix=f"leave {name} out: packed weights can only be read as they were made",
        )
    return stored.replace(**changes) if changes else stored
