"""Saving in the background: the caller goes on as soon as the values are copied."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from hf_train.checkpoint.store import commit_checkpoint

T = TypeVar("T")


@final
class AsyncWriter:
    """One thread that writes checkpoints, at most one at a time.

    ```python
    with AsyncWriter() as writer:
        ...
        values = writer.copy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        writer.submit(folder, lambda stage: save(values, stage), after=lambda: rotate(...))
    ```

    An error of the thread is raised by the next call of any method, so it cannot go unseen. Leaving the block
    waits for the checkpoint under way.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._pool: list[Tensor] = []

    def copy(self, values: T) -> T:
        """`snapshot` into the memory of the one before, which by then is on the disk; waits until it is."""
        self.wait()
        return snapshot(values, pool=self._pool)

    def submit(
        self, folder: str | Path, write: Callable[[Path], None], *, after: Callable[[], None] | None = None
    ) -> None:
        """Let `write` fill the checkpoint `folder` as `commit_checkpoint` does, then call `after`.

        Both run in the thread, so what they read must be the thread's own, as `snapshot` makes it. Waits first
        for an earlier checkpoint: memory holds one copy, never more.
        """
        self.wait()
        self._thread = threading.Thread(
            target=self._run,
            args=(Path(folder), write, after),
            name=f"save {Path(folder).name}",
            daemon=False,
        )
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Return when nothing is being written; raise what went wrong, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()
        elif self._thread is not None:  # the error under way is the one to show
            self._thread.join()

    def _run(self, folder: Path, write: Callable[[Path], None], after: Callable[[], None] | None) -> None:
        try:
            with commit_checkpoint(folder) as stage:
                write(stage)
            if after is not None:
                after()
        except BaseException as error:  # noqa: BLE001 # handed to the caller's thread, which raises it
            self._error = error


def snapshot(values: T, *, pool: list[Tensor] | None = None) -> T:
    """The same tree of dicts, lists and tuples with every tensor copied to CPU memory of its own.

    Tensors that share memory (tied weights) share it in the copy too, so they cost once. Memory is taken from
    `pool` where it has a piece of the size, and what had to be made is added to it: a pool that is given again
    overwrites the earlier snapshot, and costs a fraction, because fresh memory is what takes the time.
    """
    free: dict[int, list[Tensor]] = {}
    for piece in pool or ():
        free.setdefault(piece.numel(), []).append(piece)
    pooled = {piece.data_ptr() for piece in pool or ()}
    copies: dict[tuple[torch.device, int], Tensor] = {}

    def copy(value: object) -> object:
        if not isinstance(value, Tensor):
            return value
        storage = value.untyped_storage()
        place = (value.device, storage.data_ptr())
        if place not in copies:
            whole = torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage)
            spare = free.get(whole.numel())
            copies[place] = spare.pop().copy_(whole) if spare else whole.to("cpu", copy=True)
            if pool is not None and copies[place].data_ptr() not in pooled:
                pool.append(copies[place])
        kept = torch.empty(0, dtype=value.dtype).set_(
            copies[place].untyped_storage(), value.storage_offset(), value.size(), value.stride()
        )
        return (
            torch.nn.Parameter(kept, value.requires_grad) if isinstance(value, torch.nn.Parameter) else kept
        )

    with torch.no_grad():
        result: T = tree_map(copy, values)
    return result
