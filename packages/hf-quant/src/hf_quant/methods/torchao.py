"""torchao: which tensor class holds a weight is written in the header of the file, weight by weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import torch

from hf_config.quantization import TorchAoConfig
from hf_quant.codec import Codec
from hf_quant.codecs.torchao import (
    PARTS,
    TorchAoFloat8,
    TorchAoInt4,
    TorchAoIntegers,
    TorchAoTiles,
)
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Codecs, Method, Place, Saved
from hf_quant.skip import Skip, compiled

Settings = Mapping[str, object]
NAMES = "tensor_names"
MADE_AS: Mapping[str, tuple[str, int]] = {
    "Int8WeightOnlyConfig": ("int", 8),
    "Int8DynamicActivationInt8WeightConfig": ("int", 8),
    "IntxWeightOnlyConfig": ("int", 0),
    "Int8DynamicActivationIntxWeightConfig": ("int", 0),
    "Float8WeightOnlyConfig": ("float", 8),
    "Float8DynamicActivationFloat8WeightConfig": ("float", 8),
    "Int4WeightOnlyConfig": ("int4", 4),
}
"""torchao's settings that weights are made by here: the kind of numbers, and bits where the name says them."""

OLDER_NAMES: Mapping[str, str] = {
    "float8_weight_only": "Float8WeightOnlyConfig",
    "int4_weight_only": "Int4WeightOnlyConfig",
    "int8_weight_only": "Int8WeightOnlyConfig",
}


def packed(config: TorchAoConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout that the file's header gives for this weight. Raises QuantizationConfigError."""
    if not place.stored:
        return None
    text = beside.metadata.get(f"{place.module}.weight")
    if text is None:
        raise QuantizationConfigError(
            f"the file's header does not say what {place.module} is packed as",
            fix="save the checkpoint again with safetensors by torchao 0.15 or later",
        )
    kind, settings = _described(text)
    block = cast("list[int]", settings.get("block_size") or [1, -1])
    K = place.shape[-1] if place.shape else -1
    size = -1 if block[-1] in (-1, K) else block[-1]
    match kind:
        case "Int8Tensor":
            return TorchAoIntegers(bits=8, group_size=size)
        case "IntxUnpackedToInt8Tensor":
            bits = int(str(_inner(settings.get("target_dtype"))).removeprefix("int"))
            return TorchAoIntegers(bits=bits, group_size=size)
        case "Float8Tensor":
            return TorchAoFloat8(by_row=block[0] == 1)
        case "Int4Tensor":
            return TorchAoInt4(group_size=block[-1])
        case "Int4TilePackedTo4dTensor":
            sizes = place.shape or tuple(cast("list[int]", settings.get("shape") or (0, 0)))
            return TorchAoTiles(sizes=(sizes[-2], sizes[-1]), group_size=block[-1])
        case other:
            raise QuantizationConfigError(
                f"{place.module} is a {other} of torchao, which is not read here",
                fix="make the checkpoint with one of " + ", ".join(MADE_AS),
            )


def create(config: TorchAoConfig, place: Place) -> Codec | None:
    """The layout for a layer that is to be packed. Raises QuantizationConfigError."""
    chosen = settings_of(config, place)
    if chosen is None:
        return None
    name, settings = chosen
    kind, bits = MADE_AS.get(name, ("", 0))
    match kind:
        case "int" if bits:
            return TorchAoIntegers(bits=bits)
        case "int":
            bits = int(str(_inner(settings.get("weight_dtype", "int8"))).removeprefix("int"))
            return TorchAoIntegers(bits=bits, group_size=_group(settings), scales=torch.bfloat16)
        case "float":
            grain = settings.get("granularity")
            return TorchAoFloat8(
                by_row=not (isinstance(grain, Mapping) and grain.get("_type") == "PerTensor")
            )
        case "int4":
            size = settings.get("group_size", 128)
            return TorchAoInt4(group_size=size if isinstance(size, int) else 128)
        case _:
            raise QuantizationConfigError(
                f"torchao's {name or 'settings without a name'} is not made here",
                fix="use one of " + ", ".join(MADE_AS),
            )


def settings_of(config: TorchAoConfig, place: Place) -> tuple[str, Settings] | None:
    """torchao's settings for one layer, name and content: its own, those of an expression, or the general ones."""
    given = config.quant_type
    if isinstance(given, str):
        return OLDER_NAMES.get(given, given), config.quant_type_kwargs or {}
    whole = given.get("default", given)
    name, settings = _typed(whole)
    by_name = settings.get("fqn_to_config", settings.get("module_fqn_to_config"))
    if not isinstance(by_name, Mapping):
        return name, settings
    for key, value in by_name.items():
        if key in (place.module, f"{place.module}.weight") or (
            key.startswith("re:") and compiled(key.removeprefix("re:")).match(place.module)
        ):
            return None if value is None else _typed(value)
    return _typed(by_name["_default"]) if by_name.get("_default") else None


def saved(config: TorchAoConfig, codecs: Codecs, beside: Beside) -> Saved:
    """What torchao's reader looks for in the header: what was there, or a description of each weight."""
    if NAMES in beside.metadata:
        return Saved(metadata={k: v for k, v in beside.metadata.items() if k != "format"})
    described = {f"{name}.weight": _description(codec) for name, codec in codecs.items()}
    plain = {name: json.dumps({"_type": "Tensor", "_data": {}}) for name in sorted(beside.plain)}
    return Saved(metadata={NAMES: json.dumps([*plain, *described]), **plain, **described})


def _description(codec: Codec) -> str:
    """A weight's entry in the header."""
    dtype = {"_type": "torch.dtype", "_data": "bfloat16"}
    match codec:
        case TorchAoIntegers(bits=8, group_size=-1):
            kind, names = "Int8Tensor", ["qdata", "scale", "zero_point"]
            data: dict[str, object] = {"block_size": [1, -1], "act_quant_kwargs": None, "reduce_range": False}
        case TorchAoIntegers():
            kind, names = "IntxUnpackedToInt8Tensor", ["qdata", "scale", "zero_point"]
            data = {
                "target_dtype": {"_type": "torch.dtype", "_data": f"int{codec.bits}"},
                "block_size": [1, codec.group_size],
                "activation_quantization": None,
            }
        case TorchAoFloat8():
            kind, names = "Float8Tensor", ["qdata", "scale"]
            preference = {"_type": "KernelPreference", "_data": "AUTO"}
            block = [1, -1] if codec.by_row else [-1, -1]
            data = {
                "block_size": block,
                "mm_config": None,
                "act_quant_kwargs": None,
                "kernel_preference": preference,
            }
        case TorchAoInt4():
            kind, names = "Int4Tensor", ["qdata", "scale", "zero_point"]
            data = {"block_size": [1, codec.group_size]}
        case _:
            kind, names, data = type(codec).__name__, [], {}
    return json.dumps({"_type": kind, "_data": {**data, "dtype": dtype}, "_tensor_data_names": names})


def _described(text: str) -> tuple[str, Settings]:
    try:
        entry = json.loads(text)
        return str(entry["_type"]), entry["_data"]
    except (ValueError, TypeError, KeyError):
        raise QuantizationConfigError(
            f"the file's header describes a tensor by {text[:80]!r}, which is not torchao's way",
            fix="fetch the checkpoint again",
        ) from None


def _typed(value: object) -> tuple[str, Settings]:
    if not isinstance(value, Mapping):
        return "", {}
    data = value.get("_data")
    return str(value.get("_type", "")), data if isinstance(data, Mapping) else {}


def _inner(value: object) -> object:
    return value.get("_data") if isinstance(value, Mapping) else value


def _group(settings: Settings) -> int:
    grain = settings.get("granularity", settings.get("weight_granularity"))
    name, data = _typed(grain)
    size = data.get("group_size")
    return size if name == "PerGroup" and isinstance(size, int) else -1


TORCHAO = Method(
    name="torchao",
    config=TorchAoConfig,
    suffixes=frozenset(part.suffix for part in PARTS),
    packed=packed,
    create=create,
    saved=saved,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
