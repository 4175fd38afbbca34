"""From a folder to a model whose weights have been read: time, peak memory, and how many bytes were copied.

Every weight is summed inside the timed part, so that mapping a file and reading it later gains nothing.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
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


def ours(folder: Path) -> Workload:
    from hf_modeling import LlamaForCausalLM  # imported here, as what is timed is loading

    return loading(lambda: LlamaForCausalLM.from_pretrained(folder).parameters())


def peer(folder: Path) -> Workload:
    from transformers import LlamaForCausalLM, logging

    logging.disable_progress_bar()
    return loading(lambda: LlamaForCausalLM.from_pretrained(folder).parameters())


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
)
