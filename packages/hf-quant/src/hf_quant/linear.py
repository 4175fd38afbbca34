"""Layers whose weights exist only packed: one linear layer, one table of embeddings, one matrix per expert.

The packed tensors are buffers: they are saved, moved and never trained. What a layer calculates is the product
with the dequantized weight, made anew for each call, or by a kernel that reads the packed numbers itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, final

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from hf_modeling.layers.embedding import rounded
from hf_quant.codec import Codec, OwnProduct, Parts, Shape
from hf_quant.errors import PackedWeightError
from hf_quant.frozen import FrozenWeight
from hf_quant.stacking import dequantized

REFERENCE = "dequantizing"
"""The name of calculating with the dequantized weight."""


class Kernel(Protocol):
    """A product with one packed weight, from its own copy of the numbers in the order that it likes."""

    name: str

    def serves(self, x: Tensor) -> bool:
        """Whether this input can go through it (element type, device, no gradients)."""
        ...

    def product(self, x: Tensor) -> Tensor:
        """x `[..., K]` through the weight: `[..., N]`, without bias."""
        ...


def hold_parts(module: nn.Module, parts: Parts) -> None:
    """Make packed tensors buffers of a module, by their names.

    One may be called `weight`, as on disk, although the attribute `weight` is the dequantized one.
    """
    module._buffers.update(parts)


def keep_types(module: nn.Module, names: tuple[str, ...], fn: Callable[[Tensor], Tensor]) -> None:
    """Move packed tensors as `fn` does, and leave their element types: scales belong to their integers."""
    for name in names:
        old = module._buffers[name]
        assert old is not None, "parts are never absent"
        moved = fn(old)
        module._buffers[name] = moved if moved.dtype == old.dtype else old.to(moved.device)


@final
class QuantLinear(nn.Linear):
    """A linear layer with a packed weight: `codec` says how, buffers named as its parts hold it.

    It is an `nn.Linear` so that adapters attach to it. `weight` is the dequantized weight, made at each
    access and not to be written to. Gradients reach the input and the bias, never the packed numbers.

    Args:
        parts: the packed tensors, on meta when they are about to be loaded.
        shape: of the weight, (N, K).
        bias: the layer's own.
        dtype: what `weight` is given in.
    """

    kernel: Kernel | None = None
    """Serves calls without gradients. Not part of the state: it is given up on moves and in copies."""

    def __init__(
        self, codec: Codec, parts: Parts, shape: Shape, bias: nn.Parameter | None, dtype: torch.dtype
    ) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape
        self.codec, self.shape, self.dtype = codec, shape, dtype
        self.names = tuple(parts)
        hold_parts(self, parts)
        self.register_parameter("bias", bias)

    @property
    def kernel_name(self) -> str:
        """What calculates with the weight."""
        return REFERENCE if self.kernel is None else self.kernel.name

    def parts(self) -> dict[str, Tensor]:
        """The packed tensors."""
        return {name: _there(self._buffers[name]) for name in self.names}

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """The weight (N, K)."""
        return self.codec.dequantize(self.parts(), self.shape, dtype or self.dtype)

    if TYPE_CHECKING:
        weight: nn.Parameter
    else:

        @property
        def weight(self) -> Tensor:
            return FrozenWeight.over(self.dequantize())

        @weight.setter
        def weight(self, value: object) -> None:
            raise PackedWeightError(
                "the weight of a quantized layer is packed and cannot be replaced",
                fix="dequantize the model first: model.dequantize()",
            )

    def forward(self, input: Tensor) -> Tensor:
        kernel, bias = self.kernel, self._parameters["bias"]
        if kernel is not None and kernel.serves(input):
            y = kernel.product(input)
        else:
            y = product(input, self.codec, self.parts(), self.shape)
        return y if bias is None else y + bias.to(y.dtype)

    def reset_parameters(self) -> None:
        """Nothing: packed weights are loaded, or made from plain ones."""

    def extra_repr(self) -> str:
        bias = self._parameters["bias"] is not None
        return f"{self.in_features}, {self.out_features}, bias={bias}, {self.codec}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.kernel = None
        held = {name: self._buffers.pop(name) for name in self.names}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._buffers.update(held)
        keep_types(self, self.names, fn)
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        return self

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"kernel": None}

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...


@final
class QuantEmbedding(nn.Module):
    """A table of embeddings with a packed weight, of which only the rows asked for are dequantized.

    scale: multiplies what is looked up, once rounded to `cast` or else to the table's type, as in
        `ScaledEmbedding`; None where the family has none.
    """

    kernel_name = REFERENCE

    def __init__(
        self,
        codec: Codec,
        parts: Parts,
        shape: Shape,
        dtype: torch.dtype,
        *,
        scale: float | None = None,
        cast: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = shape
        self.codec, self.shape, self.dtype = codec, shape, dtype
        self.scale, self.cast = scale, cast
        self.names = tuple(parts)
        hold_parts(self, parts)

    def parts(self) -> dict[str, Tensor]:
        """The packed tensors."""
        return {name: _there(self._buffers[name]) for name in self.names}

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """The whole table (N, K)."""
        return self.codec.dequantize(self.parts(), self.shape, dtype or self.dtype)

    @property
    def weight(self) -> Tensor:
        """The dequantized table, made at each access and not to be written to."""
        return FrozenWeight.over(self.dequantize())

    def forward(self, ids: Tensor) -> Tensor:
        wanted, places = torch.unique(ids, return_inverse=True)
        rows = self.codec.rows(self.shape)
        some = None if rows is None else self._rows(wanted, rows)
        table = self.dequantize()[wanted] if some is None else some
        looked_up = table[places]
        return looked_up if self.scale is None else looked_up * rounded(self.scale, self.cast or self.dtype)

    def _rows(self, wanted: Tensor, rows: Mapping[str, Any]) -> Tensor | None:
        """The rows with these numbers; None where rows are packed together."""
        chosen: dict[str, Tensor] = {}
        for name, part in self.parts().items():
            where = rows.get(name)
            if where is None:
                chosen[name] = part
            elif where.per != 1:
                return None
            else:
                slices = wanted[:, None] * where.each + torch.arange(where.each, device=wanted.device)
                chosen[name] = part.index_select(where.dim, slices.flatten())
        return self.codec.dequantize(chosen, (wanted.shape[0], self.shape[1]), self.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        keep_types(self, self.names, fn)
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        return self


@final
class QuantExpertWeight(nn.Module):
    """One packed matrix per expert, (E, N, K); only experts that are called are dequantized."""

    kernel_name = REFERENCE

    def __init__(self, codec: Codec, parts: Parts, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.codec, self.shape, self.dtype = codec, shape, dtype
        self.names = tuple(parts)
        hold_parts(self, parts)

    def parts(self) -> dict[str, Tensor]:
        """The packed tensors, with experts in front."""
        return {name: _there(self._buffers[name]) for name in self.names}

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """All matrices (E, N, K)."""
        return dequantized(self.codec, self.parts(), self.shape, dtype or self.dtype)

    def forward(self, x_RK: Tensor, ends_E: Tensor) -> Tensor:
        """Each row through its expert's matrix: rows are sorted by expert, `ends_E` is where each one's end."""
        ends: list[int] = ends_E.tolist()
        starts = [0, *ends[:-1]]
        made = [
            self._product(x_RK[start:end], expert)
            for expert, (start, end) in enumerate(zip(starts, ends, strict=True))
            if end > start
        ]
        return torch.cat(made) if made else x_RK.new_empty(0, self.shape[-2])

    def _product(self, x_MK: Tensor, expert: int) -> Tensor:
        parts = {name: part[expert] for name, part in self.parts().items()}
        return product(x_MK, self.codec, parts, self.shape[1:])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        keep_types(self, self.names, fn)
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        return self


def product(x: Tensor, codec: Codec, parts: Parts, shape: Shape) -> Tensor:
    """x `[..., K]` through the packed weight (N, K), as its codec calculates it.

    The gradient of x is grad @ W, from the packed numbers again.
    """
    if isinstance(codec, OwnProduct):
        return codec.product(x, parts, shape)
    if torch.is_grad_enabled() and x.requires_grad:
        y: Tensor = _Product.apply(x, codec, shape, tuple(parts), *parts.values())  # type: ignore[no-untyped-call] # torch leaves it unannotated
        return y
    return F.linear(x, codec.dequantize(parts, shape, x.dtype))


class _Product(torch.autograd.Function):
    """Remembers the packed weight, not the dequantized one: training costs its memory once, packed."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, codec: Codec, shape: Shape, names: tuple[str, ...], *parts: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*parts)
        ctx.codec, ctx.shape, ctx.names, ctx.dtype = codec, shape, names, x.dtype  # type: ignore[attr-defined] # torch's own way to remember
        return F.linear(x, codec.dequantize(dict(zip(names, parts, strict=True)), shape, x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        weight = ctx.codec.dequantize(parts, ctx.shape, grad.dtype)
        return ((grad @ weight).to(ctx.dtype), *(None,) * (3 + len(parts)))


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "parts are never absent"
    return tensor
