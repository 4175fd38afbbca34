"""compressed-tensors: groups of layers with a scheme each, found by class, by name or by expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch

from hf_config.quantization import (
    CompressedTensorsConfig,
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
)
from hf_quant.codec import Codec
from hf_quant.codecs.compressed import CompressedFloats, CompressedIntegers, Packing
from hf_quant.codecs.mxfp4 import Mxfp4
from hf_quant.codecs.nvfp4 import Nvfp4
from hf_quant.codecs.sparse import BITMASK_PARTS, MARLIN_PARTS, Marlin24, SparseBitmask
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

EXPRESSION = "re:"
SUFFIXES = frozenset(
    part.suffix
    for codec in (
        CompressedIntegers(packing="bytes"),
        CompressedIntegers(),
        Nvfp4(dialect="compressed-tensors"),
    )
    for part in codec.parts
) | frozenset(part.suffix for part in (*BITMASK_PARTS, *MARLIN_PARTS))


def packed(config: CompressedTensorsConfig, place: Place, beside: Beside) -> Codec | None:
    """How a layer found in a checkpoint is stored. Raises QuantizationConfigError."""
    stored = place.stored
    if "compressed" in stored or "bitmask" in stored:
        return _sparse(place)
    if stored.keys() == {"weight"} and stored["weight"].dtype.itemsize > 1:
        return None
    args = _weights(_found(config, place), place)
    if "scale_packed" in stored or "meta" in stored:
        return Marlin24(bits=args.num_bits, group_size=args.group_size or -1)
    if args.type == "float":
        return _floats(args, place.module)
    packing: Packing = "bytes" if "weight" in stored else "stream"
    if "weight_packed" in stored and "weight_shape" in stored:
        K = int(stored["weight_shape"].read().flatten()[-1])
        whole = -(-K // (32 // args.num_bits))  # as older versions wrote, whole numbers in each word
        if stored["weight_packed"].shape[-1] == whole != -(-K * args.num_bits // 32):
            packing = "fields"
    found = stored.get("weight_scale")
    return _integers(args, packing, place.module, torch.float32 if found is None else found.dtype)


def create(config: CompressedTensorsConfig, place: Place) -> Codec | None:
    """How a layer is to be stored; None for one that no group covers. Raises QuantizationConfigError."""
    scheme = scheme_of(config, place)
    if scheme is None:
        return None
    args = _weights(scheme, place)
    if args.type == "float":
        return _floats(args, place.module)
    style = scheme.format or config.format
    packing: Packing = "bytes" if style in ("int-quantized", "naive-quantized") else "stream"
    return _integers(args, packing, place.module, place.dtype)


def scheme_of(config: CompressedTensorsConfig, place: Place) -> QuantizationScheme | None:
    """The scheme of the group that covers a layer: by its name before by its class. None for none."""
    schemes = {
        name: QuantizationScheme(targets=group, weights=PRESETS[name.upper()])
        if isinstance(group, tuple) and name.upper() in PRESETS
        else group
        for name, group in config.config_groups.items()
    }
    for by_class in (False, True):
        for name, scheme in schemes.items():
            if isinstance(scheme, tuple):
                raise QuantizationConfigError(
                    f"config_groups names a preset {name!r}, which is none",
                    fix=f"use one of {', '.join(PRESETS)}, or write the scheme out",
                )
            if any(_covers(target, place, by_class=by_class) for target in scheme.targets):
                return scheme
    return None


def is_covered(config: CompressedTensorsConfig, place: Place) -> bool:
    """Whether a layer that is plain in the checkpoint should not be: packed formats say so about every layer."""
    scheme = scheme_of(config, place)
    return scheme is not None and scheme.weights is not None and config.quantization_status == "compressed"


def skip(config: CompressedTensorsConfig) -> Skip:
    """The layers to ignore: names are exact, expressions start at a name's beginning."""
    return Skip(patterns=tuple(_pattern(entry) for entry in config.ignore))


def completed(config: CompressedTensorsConfig) -> QuantizationConfig:
    """Settings that say what was done: each group's format, and that weights are compressed."""
    groups: dict[str, QuantizationScheme] = {}
    formats: set[str] = set()
    for name, group in config.config_groups.items():
        scheme = (
            QuantizationScheme(targets=group, weights=PRESETS[name.upper()])
            if isinstance(group, tuple)
            else group
        )
        style = scheme.format or (config.format if config.format != "dense" else _usual_format(scheme))
        groups[name] = scheme.replace(format=style)
        formats.add(style)
    whole = formats.pop() if len(formats) == 1 else "mixed-precision"
    return config.replace(config_groups=groups, format=whole, quantization_status="compressed")


def _sparse(place: Place) -> SparseBitmask:
    stored = place.stored
    scales: Literal["none", "tensor", "channel"] = "none"
    if "weight_scale" in stored:
        scales = "tensor" if len(stored["weight_scale"].shape) < 2 else "channel"
    numbers = stored.get("compressed")
    if numbers is None:
        return SparseBitmask(scales=scales)
    count = numbers.shape[0] if "row_offsets" in stored else -1
    return SparseBitmask(count=count, scales=scales, dtype=numbers.dtype)


def _found(config: CompressedTensorsConfig, place: Place) -> QuantizationScheme:
    """The scheme of a layer that is packed in the checkpoint."""
    scheme = scheme_of(config, place)
    if scheme is None:
        raise QuantizationConfigError(
            f"{place.module} is packed in the checkpoint, and no group of quantization_config covers it",
            fix="add its name to the targets of a group",
        )
    return scheme


def _weights(scheme: QuantizationScheme, place: Place) -> QuantizationArgs:
    if scheme.weights is None:
        raise QuantizationConfigError(
            f"the group of {place.module} says nothing about weights", fix="add weights to the group"
        )
    return scheme.weights


def _integers(
    args: QuantizationArgs, packing: Packing, module: str, scales: torch.dtype
) -> CompressedIntegers:
    match args.strategy:
        case "group" | "tensor_group":
            size = args.group_size or 128
        case "channel" | "token":
            size = -1
        case "tensor":
            size = 0
        case None:
            size = args.group_size or 0
        case other:
            raise _unreadable(module, f"integers with scales for each {other}")
    if not 1 <= args.num_bits <= 8:
        raise _unreadable(module, f"integers of {args.num_bits} bits")
    return CompressedIntegers(
        bits=args.num_bits, group_size=size, symmetric=args.symmetric, packing=packing, scales=scales
    )


def _floats(args: QuantizationArgs, module: str) -> Codec:
    match (args.num_bits, args.strategy):
        case (8, "tensor" | "channel" as strategy):
            return CompressedFloats(strategy=strategy)
        case (8, None):
            return CompressedFloats()
        case (8, "block"):
            rows, columns = _block(args)
            return CompressedFloats(strategy="block", block=(rows, columns))
        case (4, "tensor_group"):
            return Nvfp4(dialect="compressed-tensors")
        case (4, "group") if args.group_size == 32:
            return Mxfp4(blocked=False, codes="weight_packed", scales="weight_scale")
        case (bits, strategy):
            raise _unreadable(module, f"floats of {bits} bits with scales for each {strategy}")


def _block(args: QuantizationArgs) -> tuple[int, int]:
    given = args.block_structure
    sizes = (
        [int(n) for n in given.lower().split("x")] if isinstance(given, str) else list(given or (128, 128))
    )
    return sizes[0], sizes[1]


def _unreadable(module: str, what: str) -> QuantizationConfigError:
    return QuantizationConfigError(
        f"{module} is stored as {what}, which is not read here",
        fix="convert the checkpoint to another scheme of compressed-tensors",
    )


def _covers(target: str, place: Place, *, by_class: bool) -> bool:
    if by_class:
        return target == place.kind
    if target.startswith(EXPRESSION):
        return re.match(target.removeprefix(EXPRESSION), place.module) is not None
    return target == place.module


def _pattern(entry: str) -> str:
    return entry.removeprefix(EXPRESSION) if entry.startswith(EXPRESSION) else f"{re.escape(entry)}$"


def _usual_format(scheme: QuantizationScheme) -> str:
    args = scheme.weights
    assert args is not None, "checked when layers were packed"
    if args.type == "int":
        return "int-quantized" if scheme.input_activations is not None else "pack-quantized"
    if args.num_bits == 8:
        return "float-quantized"
    return "nvfp4-pack-quantized" if args.strategy == "tensor_group" else "mxfp4-pack-quantized"


def _ints(bits: int, strategy: Literal["group", "channel"], *, symmetric: bool = True) -> QuantizationArgs:
    size = 128 if strategy == "group" else None
    return QuantizationArgs(num_bits=bits, strategy=strategy, group_size=size, symmetric=symmetric)


def _small_floats(
    bits: int,
    strategy: Literal["tensor", "channel", "block", "group", "tensor_group"],
    size: int | None = None,
) -> QuantizationArgs:
    block = (128, 128) if strategy == "block" else None
    return QuantizationArgs(
        num_bits=bits, type="float", strategy=strategy, group_size=size, block_structure=block
    )


PRESETS: Mapping[str, QuantizationArgs] = {
    "W4A16": _ints(4, "group"),
    "W4A16_ASYM": _ints(4, "group", symmetric=False),
    "W8A16": _ints(8, "channel"),
    "W8A8": _ints(8, "channel"),
    "INT8": _ints(8, "channel"),
    "W4A8": _ints(4, "group"),
    "W4AFP8": _ints(4, "group"),
    "FP8": _small_floats(8, "tensor"),
    "FP8_DYNAMIC": _small_floats(8, "channel"),
    "FP8_BLOCK": _small_floats(8, "block"),
    "NVFP4": _small_floats(4, "tensor_group", 16),
    "NVFP4A16": _small_floats(4, "tensor_group", 16),
    "MXFP4": _small_floats(4, "group", 32),
    "MXFP4A16": _small_floats(4, "group", 32),
}
"""What the library calls some schemes: how each stores weights."""


COMPRESSED = Method(
    name="compressed-tensors",
    config=CompressedTensorsConfig,
    suffixes=SUFFIXES,
    packed=packed,
    create=create,
    skip=skip,
    strict=is_covered,
    completed=completed,
)
