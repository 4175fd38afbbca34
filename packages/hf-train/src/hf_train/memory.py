"""How much memory the stages of a run take, and how a run is begun again with less."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, final

import torch

from hf_train.errors import ArgumentsError

if TYPE_CHECKING:
    from hf_train.trainer import Trainer

logger = logging.getLogger(__name__)
T = TypeVar("T")
_SHRINK = 0.9


@final
class MemoryTracker:
    """Memory that a stage allocated and its peak beyond that, in bytes, on the CPU and the GPU.

    Names are `{stage}_mem_{cpu,gpu}_{alloc,peaked}_delta`. Of stages within others only the outer is measured.
    """

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._busy = False
        self.begin()

    def begin(self) -> None:
        """A stage begins."""
        if not self.on or self._busy:
            return
        self._busy = True
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._gpu = torch.cuda.memory_allocated()
        self._cpu = self._peak = resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stage(self, name: str, metrics: dict[str, float] | None = None) -> None:
        """The stage ends; its figures go into `metrics`."""
        if not self.on or not self._busy:
            return
        self._stop.set()
        self._thread.join()
        self._busy = False
        now = resident()
        found = {"cpu_alloc": now - self._cpu, "cpu_peaked": max(0, self._peak - now)}
        if torch.cuda.is_available():
            end = torch.cuda.memory_allocated()
            found["gpu_alloc"] = end - self._gpu
            found["gpu_peaked"] = max(0, torch.cuda.max_memory_allocated() - end)
        if metrics is not None:
            metrics.update({f"{name}_mem_{kind}_delta": float(size) for kind, size in found.items()})

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._peak = max(self._peak, resident())


def resident() -> int:
    """Bytes of memory this process has resident; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            import resource

            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ImportError):
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def with_smaller_batches(trainer: Trainer, train: Callable[[], T]) -> T:
    """`train()`, begun again from the same weights with a tenth fewer rows whenever memory runs out.

    Raises ArgumentsError when a single row does not fit.
    """
    begin = [p.detach().to("cpu", copy=True) for p in trainer.model.parameters()]
    while True:
        try:
            return train()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            tried = trainer.batch_size
            if tried == 1:
                raise ArgumentsError(
                    "memory runs out with a batch of a single row",
                    fields=("auto_find_batch_size", "per_device_train_batch_size"),
                    fix="set activation_checkpointing=True, cut the rows shorter, or train an adapter",
                ) from error
        trainer.batch_size = max(1, int(tried * _SHRINK))
        logger.warning("memory ran out with %d rows in a batch; trying %d", tried, trainer.batch_size)
        with torch.no_grad():
            for parameter, value in zip(trainer.model.parameters(), begin, strict=True):
                parameter.grad = None
                parameter.copy_(value)
        trainer.optimizer = trainer.lr_scheduler = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
