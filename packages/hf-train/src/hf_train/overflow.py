"""Where numbers overflow: the smallest and largest values of every module, kept until something breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Unpack, final

import torch
from torch import Tensor, nn

from hf_hub_io.errors import HfError
from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

_NEAR: Final = 0.25
"""A value above this share of a half-precision type's largest is worth a mark."""


class OverflowFoundError(HfError, ArithmeticError):
    """A module gave a value that is infinite or not a number; the message holds the frames before it."""

    def __init__(self, what: str, *, module: str, frames: tuple[Frame, ...], fix: str = "") -> None:
        self.module, self.frames = module, frames
        super().__init__(what, fix=fix)


class TracedBatchesDoneError(HfError, RuntimeError):
    """The batch after which the run was asked to stop is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """Smallest and largest absolute value of a tensor, how many are infinite or not a number, and its dtype."""

    label: str
    smallest: float
    largest: float
    broken: int
    dtype: torch.dtype

    def __str__(self) -> str:
        limit = torch.finfo(self.dtype).max if self.dtype.is_floating_point else float("inf")
        mark = (
            f"  <- {self.broken} not finite"
            if self.broken
            else "  <- near overflow" * (self.largest > _NEAR * limit)
        )
        return f"{self.smallest:8.2e} {self.largest:8.2e} {self.label}{mark}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One call of a module: its weights, what went in and what came out."""

    batch: int
    module: str
    kind: str
    extents: tuple[Extent, ...]

    @property
    def broken(self) -> bool:
        """Whether a value is infinite or not a number."""
        return any(extent.broken for extent in self.extents)

    def __str__(self) -> str:
        return "\n".join(
            [f"batch {self.batch}, {self.module or 'the model'} ({self.kind})", *map(str, self.extents)]
        )


@final
class DebugUnderflowOverflow:
    """Watches every forward pass of `model`; the first infinite or undefined value stops it.

    Args:
        max_frames_to_save: calls to show when that happens, the one with the value last.
        trace_batch_nums: batches of which every call is printed through `report`.
        abort_after_batch_num: stop after this batch; counted from 0, as the traced ones are.
        report: where traces go.
    """

    def __init__(
        self,
        model: nn.Module,
        max_frames_to_save: int = 21,
        trace_batch_nums: Iterable[int] = (),
        abort_after_batch_num: int | None = None,
        report: Callable[[str], object] = print,
    ) -> None:
        self.frames: deque[Frame] = deque(maxlen=max_frames_to_save)
        self.batch = 0
        self._traced, self._last = frozenset(trace_batch_nums), abort_after_batch_num
        self._report = report
        self._root = model
        self._handles = [
            module.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, module in model.named_modules()
        ]

    def remove(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def watch(module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
            self._note(name, module, (inputs, named), output)

        return watch

    @torch.no_grad()
    def _note(self, name: str, module: nn.Module, inputs: object, output: object) -> None:
        own = [(label, tensor) for label, tensor in module.named_parameters(recurse=False)]
        tensors = [*own, *_tensors(inputs, "input"), *_tensors(output, "output")]
        frame = Frame(
            batch=self.batch,
            module=name,
            kind=type(module).__name__,
            extents=tuple(_extent(label, tensor) for label, tensor in tensors if tensor.numel()),
        )
        self.frames.append(frame)
        if self.batch in self._traced:
            self._report(str(frame))
        if frame.broken and self.batch not in self._traced:
            shown = "\n\n".join(map(str, self.frames))
            self.remove()
            raise OverflowFoundError(
                f"batch {self.batch}: {name or 'the model'} has a value that is not finite. Smallest and largest "
                f"absolute values of the last {len(self.frames)} calls:\n{shown}",
                module=name,
                frames=tuple(self.frames),
                fix="train in bfloat16 instead of float16, or lower the learning rate",
            )
        if module is self._root:
            if self.batch == self._last:
                self.remove()
                raise TracedBatchesDoneError(f"stopped after batch {self.batch}, as asked")
            self.batch += 1


class OverflowCallback(TrainerCallback):
    """Watches the model while it trains, as `debug="underflow_overflow"` asks for."""

    def __init__(self, max_frames_to_save: int = 21) -> None:
        self.max_frames_to_save = max_frames_to_save
        self._watch: DebugUnderflowOverflow | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Begin to watch."""
        model = context.get("model")
        if model is not None:
            self._watch = DebugUnderflowOverflow(model, self.max_frames_to_save)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Take the hooks off."""
        if self._watch is not None:
            self._watch.remove()
            self._watch = None


def _tensors(value: object, label: str) -> Iterator[tuple[str, Tensor]]:
    """Floating-point tensors in nested containers, each with the way to it."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield label, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _tensors(part, f"{label}.{name}")
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from _tensors(part, label if len(value) == 1 else f"{label}[{index}]")
    else:
        fields = getattr(value, "__dataclass_fields__", {})
        for name in fields:
            yield from _tensors(getattr(value, name), f"{label}.{name}")


def _extent(label: str, tensor: Tensor) -> Extent:
    size = tensor.detach().abs()
    finite = size[torch.isfinite(size)].float()
    return Extent(
        label=label,
        smallest=float(finite.min()) if finite.numel() else float("nan"),
        largest=float(finite.max()) if finite.numel() else float("nan"),
        broken=size.numel() - finite.numel(),
        dtype=tensor.dtype,
    )
