"""A dequantized weight as code that expects a parameter sees it: to read and calculate with, not to write to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from hf_quant.errors import PackedWeightError

_DATA_SET, _DATA_GET = Tensor.data.__set__, Tensor.data.__get__  # type: ignore[attr-defined] # a descriptor of torch's


@final
class FrozenWeight(Tensor):
    """A tensor whose writes raise: they would change a copy, and the packed weight would stay as it was.

    Everything that is calculated from it is a plain tensor.
    """

    @classmethod
    def over(cls, tensor: Tensor) -> Tensor:
        """`tensor`, guarded."""
        return tensor.as_subclass(cls)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func == _DATA_SET or (_writes(func) and args and isinstance(args[0], cls)):
            raise PackedWeightError(
                "this weight exists only packed; what is written to it here would be lost",
                fix="dequantize the model first: model.dequantize(); or train adapters and keep them apart",
            )
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        if _stays(func) and isinstance(result, Tensor):
            return result.as_subclass(cls)
        return result.as_subclass(Tensor) if isinstance(result, cls) else result


def _writes(func: Callable[..., Any]) -> bool:
    name = getattr(func, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) or name in _IN_PLACE


def _stays(func: Callable[..., Any]) -> bool:
    """Whether what comes back is still the weight itself, which `data` and `detach` give."""
    return func in (_DATA_GET, Tensor.detach)


_IN_PLACE = frozenset({"__iadd__", "__isub__", "__imul__", "__itruediv__"})
