"""Quanto."""

from __future__ import annotations

import json
from typing import Literal

import torch

from hf_config.quantization import QuantoConfig
from hf_quant.codec import Codec
from hf_quant.codecs.quanto import QuantoBits, QuantoBytes
from hf_quant.errors import PackingError, QuantizationConfigError
from hf_quant.method import Beside, Codecs, Method, Place, Saved
from hf_quant.skip import Skip

MAP = "quanto_qmap.json"
"""The library's own list of packed layers, beside the weights."""

SUFFIXES = frozenset(part.suffix for codec in (QuantoBytes(), QuantoBits(inputs=1)) for part in codec.parts)


def packed(config: QuantoConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout of one layer, by the names of its tensors. Raises PackingError."""
    if "weight._data._data" in place.stored or "weight._shift" in place.stored:
        if not place.shape:
            raise PackingError(
                f"{place.module} is packed by Quanto, which does not store sizes, and is no layer of this model",
                fix="use the model class and config this checkpoint was made with",
            )
        return QuantoBits(
            inputs=place.shape[-1], bits=2 if config.weights == "int2" else 4, scales=_scales(place)
        )
    if "weight._data" in place.stored or "weight._scale" in place.stored:
        return QuantoBytes(kind="float8" if config.weights == "float8" else "int8", scales=_scales(place))
    return None


def _scales(place: Place) -> torch.dtype:
    found = place.stored.get("weight._scale")
    return torch.float32 if found is None else found.dtype


def create(config: QuantoConfig, place: Place) -> Codec | None:
    """The layout in the settings. Raises QuantizationConfigError."""
    if config.activations is not None:
        raise QuantizationConfigError(
            f"activations={config.activations!r}: ranges of activations are chosen with data",
            fix="leave activations out",
        )
    match config.weights:
        case "int8" | "float8" as kind:
            return QuantoBytes(kind=kind, scales=place.dtype)
        case "int4":
            return QuantoBits(inputs=place.shape[-1], bits=4, scales=place.dtype)
        case "int2":
            return QuantoBits(inputs=place.shape[-1], bits=2, scales=place.dtype)


def saved(config: QuantoConfig, codecs: Codecs, beside: Beside) -> Saved:
    """The library's list of layers, if the checkpoint had one or was made here."""
    found = beside.read(MAP)
    kinds: dict[str, Literal["qint8", "qfloat8", "qint4", "qint2"]] = {
        "int8": "qint8",
        "float8": "qfloat8",
        "int4": "qint4",
        "int2": "qint2",
    }
    if found is None and not beside.plain:
        return Saved()
    layers = {name: {"weights": kinds[config.weights], "activations": "none"} for name in codecs}
    return Saved(files={MAP: found or (json.dumps(layers, indent=4) + "\n").encode()})


QUANTO = Method(
    name="quanto",
    config=QuantoConfig,
    suffixes=SUFFIXES,
    packed=packed,
    create=create,
    saved=saved,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
