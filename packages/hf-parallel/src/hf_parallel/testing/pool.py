"""A pool of processes for tests of parallel code: started once, joined anew by gloo for every job.

Importing torch takes seconds, a process group milliseconds. So one server process imports, workers are forked
from it and stay, and each job lets the first few of them meet under a store of their own.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from types import ModuleType
from typing import ParamSpec, TypeVar, final

R = TypeVar("R")
P = ParamSpec("P")

PRELOAD = ("torch", "torch.distributed.fsdp", "torch.distributed.pipelining", "hf_parallel.testing.imports")
GRACE_S = 1.0
"""How long after the first failure the other ranks may report theirs."""
GIVE_UP_S = 600.0
"""How long a failed rank waits to be ended."""


class JobError(AssertionError):
    """A rank failed, or did not answer in time; the message holds their tracebacks, the first one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A function by the file it is in and its name: test modules cannot be imported by theirs."""

    file: str
    name: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object] = field(default_factory=dict)
    rank: int
    world: int
    store: str
    timeout_s: float


@dataclass(slots=True)
class _Worker:
    process: ForkServerProcess
    jobs: Connection
    results: Connection


@final
class Pool:
    """Up to `size` processes. `run` gives a job to the first `world` of them and returns what each made of it."""

    def __init__(self, size: int = 8, *, timeout_s: float = 60.0) -> None:
        self.size, self.timeout_s = size, timeout_s
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD))
        self._workers: list[_Worker] = []
        self._folder = TemporaryDirectory(prefix="hf-parallel-")
        self._jobs = 0

    def run(self, job: Callable[P, R], world: int, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """What `job(*args)` returns on each of `world` ranks of one gloo group, in the order of ranks.

        `job` is a function at the top of a file; it finds the group set up. What goes in and out is pickled.

        Raises:
            JobError: a rank raised, died, or took longer than the pool waits. All processes are then replaced.
        """
        if world > self.size:
            raise ValueError(f"{world} ranks in a pool of {self.size}")
        while len(self._workers) < world:
            self._workers.append(self._start())
        self._jobs += 1
        store = str(Path(self._folder.name) / f"store-{self._jobs}")
        file, name = job.__code__.co_filename, job.__qualname__
        team = self._workers[:world]
        for rank, worker in enumerate(team):
            worker.jobs.send(
                _Job(
                    file=file,
                    name=name,
                    args=args,
                    kwargs=kwargs,
                    rank=rank,
                    world=world,
                    store=store,
                    timeout_s=self.timeout_s,
                )
            )
        return self._collect(team)

    def close(self) -> None:
        """End all processes, for good."""
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        for worker in self._workers:
            worker.jobs.close()
            worker.results.close()
            worker.process.kill()
            worker.process.join()
            worker.process.close()
        self._workers.clear()

    def _start(self) -> _Worker:
        jobs_out, jobs_in = self._context.Pipe(duplex=False)
        results_out, results_in = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(jobs_out, results_in), daemon=True)
        process.start()
        jobs_out.close()
        results_in.close()
        return _Worker(process, jobs_in, results_out)

    def _collect(self, team: Sequence[_Worker]) -> list[R]:
        pending = {worker.results: rank for rank, worker in enumerate(team)}
        made: dict[int, R] = {}
        failures: dict[int, str] = {}
        deadline = monotonic() + self.timeout_s
        while pending and (left := deadline - monotonic()) > 0:
            for ready in wait(list(pending), timeout=left):
                assert isinstance(ready, Connection)
                rank = pending.pop(ready)
                try:
                    failure, result = ready.recv()
                except EOFError:
                    failure, result = "the process died without a word", None
                if failure is None:
                    made[rank] = result
                else:
                    failures[rank] = failure
                    deadline = min(deadline, monotonic() + GRACE_S)
        if failures or pending:
            self._stop()
            told = "\n".join(f"rank {rank}:\n{text}" for rank, text in failures.items())
            silent = f"; no answer from ranks {sorted(pending.values())}" if pending else ""
            raise JobError(f"{len(failures)} of {len(team)} ranks failed{silent}\n{told}")
        return [made[rank] for rank in range(len(team))]


def _serve(jobs: Connection, results: Connection) -> None:
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import FileStore

    torch.set_num_threads(1)
    while True:
        try:
            job: _Job = jobs.recv()
        except EOFError:
            return
        try:
            store = FileStore(job.store, job.world)
            dist.init_process_group(
                "gloo",
                store=store,
                rank=job.rank,
                world_size=job.world,
                timeout=timedelta(seconds=job.timeout_s),
            )
            result = _function(job)(*job.args, **job.kwargs)
            # Without a barrier a rank may take its sockets down while another still reads from them.
            dist.barrier()
            dist.destroy_process_group()
            results.send((None, result))
        except BaseException:  # noqa: BLE001  # whatever it was, the parent is told
            with suppress(OSError):
                results.send((traceback.format_exc(), None))
            # Leaving would break the others' connections, and hide the cause among its effects.
            sleep(GIVE_UP_S)
            return


def _function(job: _Job) -> Callable[..., object]:
    found: object = _module(job.file)
    for part in job.name.split("."):
        found = getattr(found, part)
    assert callable(found), f"{job.name} in {job.file} is no function"
    return found


@cache
def _module(file: str) -> ModuleType:
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == file:
            return module
    spec = importlib.util.spec_from_file_location(f"job_{Path(file).stem}", file)
    assert spec is not None, f"{file} is no module"
    assert spec.loader is not None, f"{file} is no module"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
