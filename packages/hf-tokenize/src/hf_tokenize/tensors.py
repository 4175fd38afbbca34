"""Columns of numbers as arrays of numpy, torch, jax or mlx; none of them is imported before it is asked for.

Numbers are packed into one standard-library `array` of 64-bit integers, which numpy and torch then use in
place.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from hf_hub_io.errors import MissingPackageError
from hf_tokenize.errors import OptionError
from hf_tokenize.options import Side, TensorType

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    NumpyArray: TypeAlias = NDArray[np.int64]
    Tensor: TypeAlias = NumpyArray | torch.Tensor

Nested: TypeAlias = "int | bool | Sequence[Nested]"
"""Numbers, lists of numbers, lists of those and so on, all of one shape."""


def pack_rows(rows: Sequence[list[int]], length: int, filler: int, side: Side) -> array[int]:
    """`rows` one after the other, each padded to `length` with `filler` on `side`."""
    packed = array("q")
    pad = array("q", (filler,))
    left = side == "left"
    for row in rows:
        missing = pad * (length - len(row))
        if left:
            packed += missing
        packed.fromlist(row)
        if not left:
            packed += missing
    return packed


def pack_mask(lengths: Sequence[int], length: int, side: Side) -> array[int]:
    """Attention masks of rows with these lengths, padded to `length`, one after the other."""
    packed, one, zero = array("q"), array("q", (1,)), array("q", (0,))
    left = side == "left"
    for count in lengths:
        ones, zeros = one * count, zero * (length - count)
        packed += zeros + ones if left else ones + zeros
    return packed


def as_tensor(packed: array[int], shape: tuple[int, ...], kind: TensorType) -> Tensor:
    """The packed numbers as one int64 tensor of `shape`, without a copy in numpy and torch.

    Raises MissingPackageError, OptionError for an unknown kind.
    """
    match kind:
        case "np":
            return _numpy(packed, shape)
        case "pt":
            return _torch(packed, shape)
        case "jax":
            try:
                from jax import numpy as jnp
            except ImportError:
                raise MissingPackageError("jax", "return_tensors='jax'") from None
            return jnp.asarray(_numpy(packed, shape))  # type: ignore[no-any-return]  # jax ships no types here
        case "mlx":
            try:
                from mlx import core as mx
            except ImportError:
                raise MissingPackageError("mlx", "return_tensors='mlx'") from None
            return mx.array(_numpy(packed, shape))  # type: ignore[no-any-return]  # mlx ships no types here
        case _:
            raise OptionError(
                f"return_tensors={kind!r} is unknown",
                fix=f"use one of {', '.join(get_args(TensorType))}, or None",
            )


def _numpy(packed: array[int], shape: tuple[int, ...]) -> NumpyArray:
    try:
        import numpy as np
    except ImportError:
        raise MissingPackageError("numpy", "return_tensors='np'") from None
    if not packed:  # there is no such thing as an empty buffer
        return np.empty(shape, dtype=np.int64)
    return np.frombuffer(packed, dtype=np.int64).reshape(shape)


def _torch(packed: array[int], shape: tuple[int, ...]) -> torch.Tensor:
    try:
        import torch
    except ImportError:
        raise MissingPackageError("torch", "return_tensors='pt'") from None
    if not packed:
        return torch.empty(shape, dtype=torch.int64)
    return torch.frombuffer(packed, dtype=torch.int64).view(shape)


def nested_to_tensor(values: Nested, kind: TensorType, *, name: str) -> Tensor:
    """Nested lists of numbers as one int64 tensor; `name` is what errors call it.

    Raises OptionError when rows differ in length or hold something else than numbers.
    """
    shape: list[int] = []
    level: list[Any] = [values]
    while level and isinstance(level[0], list | tuple):
        lengths = {len(item) for item in level}
        if len(lengths) > 1:
            raise OptionError(
                f"rows of {name} with {min(lengths)} to {max(lengths)} entries cannot be one tensor",
                fix="pass padding=True (and truncation=True with padding='max_length')",
            )
        shape.append(lengths.pop())
        level = [inner for item in level for inner in item]
    try:
        packed = array("q", level)
    except (TypeError, OverflowError) as error:
        raise OptionError(f"{name} cannot be a tensor: {error}", fix=f"take {name!r} out first") from None
    return as_tensor(packed, tuple(shape), kind)
