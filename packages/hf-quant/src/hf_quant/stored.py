"""Finding packed weights in a checkpoint: which tensors belong together, and whether they are all there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import final

from hf_config.quantization import QuantizationConfig
from hf_modeling.weights.fill import COMPUTE_DTYPES
from hf_modeling.weights.source import Source
from hf_quant.codec import Codec, Part, Shape, Stored
from hf_quant.errors import PackingError, PartsMissingError
from hf_quant.method import Beside, Method, Place
from hf_quant.stacking import shape_of, specs_of

WEIGHT = "weight"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PackedWeight:
    """One packed weight of a checkpoint.

    weight: the name it would have as plain numbers.
    tensors: the names of its parts on disk, by their names in memory.
    """

    weight: str
    codec: Codec
    shape: Shape
    tensors: Mapping[str, str]


def find_packed(
    source: Source,
    method: Method,
    config: QuantizationConfig,
    beside: Beside,
    expected: Mapping[str, Shape],
) -> dict[str, PackedWeight]:
    """Every packed weight of a checkpoint, by its name as plain numbers. Reads headers, and tiny tensors.

    expected: the shapes of plain weights, by name, as the model has them and as it would save them.
    Raises PartsMissingError, PackingError.
    """
    found: dict[str, PackedWeight] = {}
    for (module, is_stacked), tensors in _together(source, method).items():
        stored = {suffix: _stored(source, name) for suffix, name in tensors.items()}
        if stored.keys() <= {WEIGHT, ""} and all(s.dtype in COMPUTE_DTYPES for s in stored.values()):
            continue
        is_parameter = is_stacked or (f"{module}.{WEIGHT}" not in expected and module in expected)
        weight = module if is_parameter else f"{module}.{WEIGHT}"
        place = Place(module=module, stored=stored, shape=expected.get(weight, ()))
        codec = method.packed(config, place, beside)
        if codec is None:
            continue
        found[weight] = _checked(weight, module, codec, tensors, stored, source, is_stacked=is_stacked)
    return found


def part_name(part: Part, weight: str) -> str:
    """What a part of the weight with this name is called on disk."""
    if weight.endswith(f".{WEIGHT}"):
        return f"{weight.removesuffix(WEIGHT)}{part.suffix}"
    return f"{weight}.{part.suffix}" if part.stacked is None else weight + part.stacked


def module_of(weight: str) -> str:
    """The name of the layer that a weight belongs to; a parameter of no layer is its own."""
    return weight.removesuffix(f".{WEIGHT}")


def _together(source: Source, method: Method) -> dict[tuple[str, bool], dict[str, str]]:
    """Names of tensors by what they belong to (and whether that is a parameter), then by what follows it."""
    layers = sorted(method.suffixes, key=len, reverse=True)
    parameters = sorted(filter(None, method.stacked), key=len, reverse=True)
    groups: dict[tuple[str, bool], dict[str, str]] = {}
    for name in source.shapes:
        if (suffix := next((s for s in layers if name.endswith(f".{s}")), None)) is not None:
            groups.setdefault((name[: -len(suffix) - 1], False), {})[suffix] = name
        elif (suffix := next((s for s in parameters if name.endswith(s)), None)) is not None:
            module = name.removesuffix(suffix)
            group = groups.setdefault((module, True), {})
            group[suffix] = name
            if "" in method.stacked and module in source.shapes:
                group[""] = module
    return groups


def _stored(source: Source, name: str) -> Stored:
    return Stored(source.shapes[name], source.dtypes[name], partial(source.read, name))


def _checked(
    weight: str,
    module: str,
    codec: Codec,
    tensors: Mapping[str, str],
    stored: Mapping[str, Stored],
    source: Source,
    *,
    is_stacked: bool,
) -> PackedWeight:
    """The weight, if its parts are all there and of the right sizes."""
    spelled = {p.name: _spelling(p, is_stacked=is_stacked) for p in codec.parts}
    if lacking := tuple(spelled[p.name] for p in codec.parts if p.required and spelled[p.name] not in stored):
        separator = "" if is_stacked else "."
        others = tuple(n for n in _of_module(source, module, separator) if n not in tensors.values())
        near = get_close_matches(f"{module}{separator}{lacking[0]}", others, n=1, cutoff=0.6)
        raise PartsMissingError(
            module, lacking=lacking, found=tuple(tensors.values()), near=near[0] if near else ""
        )
    present = {name: stored[spelling] for name, spelling in spelled.items() if spelling in stored}
    try:
        shape = shape_of(codec, present, stacked=weight == module)
        specs = specs_of(codec, shape)
    except PackingError as error:
        fix = error.fix or "correct quantization_config (bits, group size), or fetch the checkpoint again"
        raise PackingError(f"{module} is not packed as its settings say: {error.what}", fix=fix) from None
    for name, spec in specs.items():
        if name in present and present[name].shape != spec.shape:
            raise PackingError(
                f"{tensors[spelled[name]]} is {list(present[name].shape)} in the checkpoint; for a weight "
                f"{list(shape)} packed as {codec} it must be {list(spec.shape)}",
                fix="correct quantization_config (bits, group size), or fetch the checkpoint again",
            )
    names = {name: tensors[spelling] for name, spelling in spelled.items() if spelling in tensors}
    return PackedWeight(weight=weight, codec=codec, shape=shape, tensors=names)


def _spelling(part: Part, *, is_stacked: bool) -> str:
    return part.stacked if is_stacked and part.stacked is not None else part.suffix


def _of_module(source: Source, module: str, separator: str) -> Iterator[str]:
    return (name for name in source.shapes if name.startswith(module + separator))
