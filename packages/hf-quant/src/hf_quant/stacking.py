"""Codecs pack matrices; stacks of matrices, one for each expert, are packed matrix by matrix and stacked again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

import torch
from torch import Tensor

from hf_quant.codec import Codec, Parts, Restating, Shape, Spec, Stored


def specs_of(codec: Codec, shape: Shape) -> dict[str, Spec]:
    """What the parts of a matrix, or of a stack of them, look like. Raises PackingError."""
    lead, matrix = shape[:-2], shape[-2:]
    return {n: Spec((*lead, *spec.shape), spec.dtype) for n, spec in codec.specs(matrix).items()}


def shape_of(codec: Codec, stored: Mapping[str, Stored], *, stacked: bool) -> Shape:
    """The weight's shape, with the number of experts in front if it is a stack. Raises PackingError."""
    if not stacked:
        return codec.shape(stored)
    lead = next(iter(stored.values())).shape[:1]
    first = {name: Stored(part.shape[1:], part.dtype, partial(_first, part)) for name, part in stored.items()}
    return (*lead, *codec.shape(first))


def quantized(codec: Codec, weight: Tensor) -> dict[str, Tensor]:
    """The parts of a matrix, or of a stack of them. Raises as `Codec.quantize`."""
    lead = weight.shape[:-2]
    if not lead:
        return codec.quantize(weight)
    made = [codec.quantize(matrix) for matrix in weight.reshape(-1, *weight.shape[-2:])]
    return {n: torch.stack([parts[n] for parts in made]).view(*lead, *made[0][n].shape) for n in made[0]}


def dequantized(codec: Codec, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
    """The weight as plain numbers, a matrix or a stack of them."""
    lead, matrix = shape[:-2], shape[-2:]
    if not lead:
        return codec.dequantize(parts, shape, dtype)
    flat = {n: part.reshape(prod(lead), *part.shape[len(lead) :]) for n, part in parts.items()}
    made = [
        codec.dequantize({n: part[i] for n, part in flat.items()}, matrix, dtype) for i in range(prod(lead))
    ]
    return torch.stack(made).view(shape)


def restated(codec: Codec, parts: Parts, shape: Shape, dims: int) -> dict[str, Tensor]:
    """The parts that spell out the shape, for a weight of this one; `parts` have `dims` leading dimensions."""
    if not isinstance(codec, Restating):
        return {}
    lead = shape[:-2]
    first = {n: part.reshape(-1, *part.shape[dims:])[0] for n, part in parts.items()} if dims else parts
    made = codec.restated(first, shape[-2:])
    return {n: part.expand(*lead, *part.shape).contiguous() for n, part in made.items()}


def _first(part: Stored) -> Tensor:
    return part.read()[0]
