"""What can be wrong with quantized weights, or with wishes to quantize.

```
QuantizationError               (WeightsError)
├── PartsMissingError           a packed weight lacks its scale, zero, ...        (KeyError)
├── PackingError                parts, or a weight, whose sizes do not fit        (ValueError)
├── QuantizationConfigError     settings that contradict files, or each other     (ValueError)
├── CalibrationNeededError      the method needs data to choose its roundings     (ValueError)
├── CalibrationDataError        data that roundings cannot be chosen with         (ValueError)
├── AlreadyQuantizedError       quantizing what is quantized                      (ValueError)
├── NonFiniteError              NaN or infinity in a weight to be quantized       (ValueError)
├── PackedWeightError           writing to a weight that exists only packed       (RuntimeError)
└── UnsupportedHereError        a device, or a combination, the method lacks      (RuntimeError)
```
A library that is not installed is `hf_hub_io.errors.MissingPackageError`.
"""

from __future__ import annotations

from hf_hub_io.errors import WeightsError


class QuantizationError(WeightsError):
    """Base of the errors of this package."""


class PartsMissingError(QuantizationError, KeyError):
    """Some tensors of a packed weight are there, and others that it needs are not (`.module`, `.lacking`)."""

    def __init__(
        self, module: str, *, lacking: tuple[str, ...], found: tuple[str, ...], near: str = ""
    ) -> None:
        self.module, self.lacking = module, lacking
        hint = f" (did the checkpoint mean {near}?)" if near else ""
        super().__init__(
            f"{module} is packed and lacks {', '.join(lacking)}{hint}; the checkpoint has {', '.join(found)}",
            fix="fetch the checkpoint again, or correct the tensors' names; weights are never guessed",
        )


class PackingError(QuantizationError, ValueError):
    """Tensors that cannot be one packed weight, or a weight that cannot be packed so."""


class QuantizationConfigError(QuantizationError, ValueError):
    """Quantization settings that contradict the checkpoint, each other, or the model."""


class CalibrationNeededError(QuantizationError, ValueError):
    """Weights of this format are made with data, not from the weights alone."""


class CalibrationDataError(QuantizationError, ValueError):
    """Calibration data that is too short, of the wrong shape, or that the model answers with NaN."""


class AlreadyQuantizedError(QuantizationError, ValueError):
    """The weights are packed already; packing them again would lose more and gain nothing."""


class NonFiniteError(QuantizationError, ValueError):
    """A weight that should be quantized holds NaN or infinity."""


class PackedWeightError(QuantizationError, RuntimeError):
    """A weight that exists only packed cannot be written to."""


class UnsupportedHereError(QuantizationError, RuntimeError):
    """This device, dtype or machine cannot run the method as asked."""
