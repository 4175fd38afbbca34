"""Work on long tensors in pieces that stay in a core's cache, on as many cores as torch may use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

CHUNK = 1 << 15
"""Elements in a piece. Up to this many torch's element-wise operators run in the thread that calls them: pieces then
go to cores as a whole, and no operator waits for other cores to finish theirs."""

_WORTH_THREADS = 16  # pieces


def in_chunks(n: int, run: Callable[[int, int], None], chunk: int = CHUNK) -> None:
    """Call `run(start, stop)` for pieces of range(n), in any order, and wait for all; errors come through."""
    starts = range(0, n, chunk)
    threads = torch.get_num_threads() if len(starts) >= _WORTH_THREADS else 1
    if threads == 1:
        for start in starts:
            run(start, min(start + chunk, n))
        return
    gradients = torch.is_grad_enabled()

    def run_share(share: int) -> None:
        with torch.set_grad_enabled(gradients):  # a thread's own setting
            for start in starts[share::threads]:
                run(start, min(start + chunk, n))

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run_share, share) for share in range(threads)]:
            done.result()
