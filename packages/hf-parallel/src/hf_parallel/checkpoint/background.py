"""Checkpoints that are written while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, final

import torch.distributed as dist
from torch.optim import Optimizer

from hf_hub_io.jsonio import JsonValue
from hf_modeling.model import PreTrainedModel
from hf_parallel.checkpoint.manifest import Manifest
from hf_parallel.checkpoint.save import NOTHING, Snapshot, write
from hf_parallel.parallel import Parallel


@final
class BackgroundSaver:
    """Saves like `save_checkpoint`, from copies in main memory, in a thread; one checkpoint at a time.

    ```
    with BackgroundSaver(parallel, optimizer) as saver:
        for step in range(steps):
            ...
            if step % 100 == 0:
                saver.save(f"out/step-{step}", state={"step": step})
    ```

    All ranks make it, and call it alike. Its messages go over a group of its own, so they never mix with those
    of the training steps; ranks need main memory for a copy of their share.
    """

    def __init__(self, parallel: Parallel[PreTrainedModel], optimizer: Optimizer | None = None) -> None:
        self._parallel, self._optimizer = parallel, optimizer
        self._group = dist.new_group(backend="gloo")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[Manifest] | None = None

    def save(self, folder: str | Path, *, state: Mapping[str, JsonValue] = NOTHING) -> Future[Manifest]:
        """Copy what is there and begin to write it; waits for the checkpoint before it to be complete.

        Raises what writing that one raised.
        """
        self.wait()
        snapshot = Snapshot.of(self._parallel, self._optimizer, dict(state)).copied()
        self._running = self._pool.submit(write, snapshot, Path(folder), self._group)
        return self._running

    def wait(self) -> None:
        """Return when what was begun is complete. Raises SaveFailedError if it could not be."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            # After an error other ranks may never answer: the thread is then left to end with the process.
            self._pool.shutdown(wait=kind is None)
