"""The pool that all other tests stand on: results in order, failures told, and life after them."""

import os

import pytest
import torch
import torch.distributed as dist

from hf_parallel.testing.pool import JobError, Pool


def total(start: int) -> tuple[int, int, int]:
    x = torch.tensor(start + dist.get_rank())
    dist.all_reduce(x)
    return dist.get_rank(), int(x), os.getpid()


def stumbles() -> None:
    if dist.get_rank() == 1:
        raise RuntimeError("a stone in the way")
    dist.barrier()


def dies() -> None:
    if dist.get_rank() == 1:
        os._exit(3)
    dist.barrier()


def test_results_come_in_the_order_of_ranks_and_processes_stay(pool: Pool) -> None:
    first, second = pool.run(total, 4, 10), pool.run(total, 2, 10)
    assert [(rank, value) for rank, value, _ in first] == [(rank, 46) for rank in range(4)]
    assert [(rank, value) for rank, value, _ in second] == [(0, 21), (1, 21)]
    assert [pid for *_, pid in second] == [pid for *_, pid in first[:2]]


def test_the_first_traceback_is_told_and_the_next_job_runs() -> None:
    pool = Pool(2)
    with pytest.raises(JobError, match="a stone in the way"):
        pool.run(stumbles, 2)
    assert [value for _, value, _ in pool.run(total, 2, 0)] == [1, 1]
    pool.close()


def test_a_rank_that_dies_is_noticed_at_once() -> None:
    pool = Pool(2)
    with pytest.raises(JobError, match="died without a word"):
        pool.run(dies, 2)
    pool.close()
