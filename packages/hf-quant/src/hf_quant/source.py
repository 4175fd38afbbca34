"""A checkpoint as the model needs it: weights unpacked, or packed, while they are read, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import final

import torch
from torch import Tensor

from hf_modeling.weights.source import Source
from hf_quant.codec import Codec, Shape
from hf_quant.errors import NonFiniteError
from hf_quant.stacking import dequantized, quantized, specs_of
from hf_quant.stored import PackedWeight


@final
class Unpack:
    """A packed weight as plain numbers, made when it is read."""

    def __init__(self, source: Source, weight: PackedWeight, dtype: torch.dtype, *, transposed: bool) -> None:
        self._source, self._weight, self._transposed = source, weight, transposed
        self.needs = tuple(weight.tensors.values())
        self.dtype = dtype
        shape = weight.shape
        self.shape = (*shape[:-2], shape[-1], shape[-2]) if transposed else shape

    def read(self) -> Tensor:
        """The weight."""
        packed = self._weight
        parts = {name: self._source.read(tensor) for name, tensor in packed.tensors.items()}
        plain = dequantized(packed.codec, parts, packed.shape, self.dtype)
        return plain.mT if self._transposed else plain


Measure = Callable[[str, float], None]
"""Is told the relative error of each rounded weight."""


@final
class Pack:
    """The parts of a plain weight, made when the first of them is read and kept until the last one was.

    plain: makes the plain weight from tensors of the checkpoint.
    """

    def __init__(
        self,
        weight: str,
        codec: Codec,
        shape: Shape,
        needs: tuple[str, ...],
        plain: Callable[[], Tensor],
        measured: Measure | None,
    ) -> None:
        self.needs, self.specs = needs, specs_of(codec, shape)
        self._weight, self._codec, self._plain, self._measured = weight, codec, plain, measured
        self._shape = shape
        self._lock = Lock()
        self._made: dict[str, Tensor] = {}

    def read(self, part: str) -> Tensor:
        """One of the parts."""
        with self._lock:
            if part not in self._made:
                self._made = self._packed()
            return self._made.pop(part)

    def _packed(self) -> dict[str, Tensor]:
        plain = self._plain()
        parts = pack(self._weight, self._codec, plain)
        if self._measured is not None:
            self._measured(self._weight, relative_error(plain, self._codec, parts, self._shape))
        return parts


def pack(weight: str, codec: Codec, plain: Tensor) -> dict[str, Tensor]:
    """The parts of a weight. Raises NonFiniteError, and as the codec does."""
    try:
        with torch.no_grad():
            return quantized(codec, plain)
    except NonFiniteError as error:
        raise NonFiniteError(f"{weight}: {error.what}", fix=error.fix) from None


def relative_error(plain: Tensor, codec: Codec, parts: Mapping[str, Tensor], shape: Shape) -> float:
    """|W - W'| / |W|, the norms of the whole weight, in float32."""
    exact = plain.float()
    size = float(exact.norm())
    if size == 0.0:
        return 0.0
    return float((exact - dequantized(codec, parts, shape, torch.float32)).norm()) / size


@final
class PackedSource:
    """A source with some tensors replaced: those that make up a weight by the weight, or the other way round."""

    def __init__(
        self,
        source: Source,
        unpacked: Mapping[str, Unpack],
        packed: Mapping[str, tuple[Pack, str]],
        hidden: Iterable[str],
    ) -> None:
        self._source, self._unpacked, self._packed = source, unpacked, packed
        gone = set(hidden)
        plain = {name: shape for name, shape in source.shapes.items() if name not in gone}
        self.shapes: Mapping[str, Shape] = {
            **plain,
            **{name: weight.shape for name, weight in unpacked.items()},
            **{name: weight.specs[part].shape for name, (weight, part) in packed.items()},
        }
        self.dtypes: Mapping[str, torch.dtype] = {
            **{name: source.dtypes[name] for name in plain},
            **{name: weight.dtype for name, weight in unpacked.items()},
            **{name: weight.specs[part].dtype for name, (weight, part) in packed.items()},
        }

    def read(self, name: str) -> Tensor:
        if (made := self._packed.get(name)) is not None:
            weight, part = made
            return weight.read(part)
        if (unpacked := self._unpacked.get(name)) is not None:
            return unpacked.read()
        return self._source.read(name)

    def is_mapped(self, tensor: Tensor) -> bool:
        return self._source.is_mapped(tensor)

    def release(self, names: Iterable[str]) -> None:
        self._source.release(needed for name in names for needed in self._needs(name))

    def _needs(self, name: str) -> Sequence[str]:
        if (made := self._packed.get(name)) is not None:
            return made[0].needs
        if (unpacked := self._unpacked.get(name)) is not None:
            return unpacked.needs
        return (name,)
