"""From a folder to a model: time, peak memory, and how many bytes were copied.

In the rows called `load` every weight is summed inside the timed part, so that mapping a file and reading it
later gains nothing. Those called `from-pretrained` time the call alone, with the files in the page cache.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tools.bench import Case, Workload, material

if TYPE_CHECKING:
    from torch import nn


def anonymous() -> int:
    """Bytes of memory this process wrote itself; pages of a mapped file do not count."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/smaps_rollup has no Anonymous line")


def loading(parameters: Callable[[], "Iterable[nn.Parameter]"]) -> Workload:
    """A workload that loads, reads every weight, and reports the anonymous memory that took."""

    def workload() -> dict[str, float]:
        before = anonymous()
        total = sum(float(parameter.detach().sum()) for parameter in parameters())
        return {"check": total, "MiB copied": (anonymous() - before) / 2**20}

    return workload


def loading_alone(parameters: Callable[[], "Iterable[nn.Parameter]"]) -> Workload:
    """A workload that times loading, and then reads one number of every weight."""

    def workload() -> dict[str, float]:
        start = perf_counter()
        loaded = list(parameters())
        seconds = perf_counter() - start
        return {"check": sum(float(p.detach().flatten()[-1]) for p in loaded), "seconds": seconds}

    return workload


Timed = Callable[[Callable[[], "Iterable[nn.Parameter]"]], Workload]


def ours(folder: Path, timed: Timed = loading) -> Workload:
    from hf_modeling import LlamaForCausalLM  # imported here, as what is timed is loading

    return timed(lambda: LlamaForCausalLM.from_pretrained(folder).parameters())


def peer(folder: Path, timed: Timed = loading) -> Workload:
    from transformers import LlamaForCausalLM, logging

    logging.disable_progress_bar()
    return timed(lambda: LlamaForCausalLM.from_pretrained(folder).parameters())


def half_135m(folder: Path) -> None:
    """The 135M-shaped Llama in bfloat16."""
    material.write_llama(folder, 1, dtype="bfloat16")


def half_135m_sharded(folder: Path) -> None:
    """The same in ten files."""
    material.write_llama(folder, 10, dtype="bfloat16")


def half_1b(folder: Path) -> None:
    """The 1.1B-shaped Llama in bfloat16 (2.2 GB)."""
    material.write_llama(folder, 1, config=material.LLAMA_1B, dtype="bfloat16")


def half_1b_sharded(folder: Path) -> None:
    """The same in ten files."""
    material.write_llama(folder, 10, config=material.LLAMA_1B, dtype="bfloat16")


def alone(name: str, prepare: Callable[[Path], None]) -> Case:
    return Case(
        name=name,
        ours=partial(ours, timed=loading_alone),
        peer=partial(peer, timed=loading_alone),
        prepare=prepare,
        goal=2.86,
        fresh=True,
    )


CASES = (
    Case(name="load-135m", ours=ours, peer=peer, prepare=material.llama_135m, goal=1, fresh=True),
    Case(
        name="load-135m-10-shards",
        ours=ours,
        peer=peer,
        prepare=material.llama_135m_sharded,
        goal=1,
        fresh=True,
    ),
    alone("from-pretrained-135m-bf16", half_135m),
    alone("from-pretrained-135m-bf16-10-shards", half_135m_sharded),
    alone("from-pretrained-1.1b-bf16", half_1b),
    alone("from-pretrained-1.1b-bf16-10-shards", half_1b_sharded),
)
