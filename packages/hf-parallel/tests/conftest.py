"""One pool of processes for all tests of a session (of each xdist worker), and what one process alone computes."""

from collections.abc import Callable, Iterator

import pytest

from hf_parallel import ParallelSpec
from hf_parallel.options import ParallelOptions
from hf_parallel.testing.compare import Case, Seen, assert_equal, run_case
from hf_parallel.testing.pool import Pool

Check = Callable[..., list[Seen]]


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Up to eight ranks on gloo."""
    made = Pool(8)
    yield made
    made.close()


@pytest.fixture(scope="session")
def same_as_alone(pool: Pool) -> Check:
    """Runs a case on a layout, and fails unless loss, norm, gradients and parameters are those of one process."""
    alone: dict[str, Seen] = {}

    def check(case: Case, layout: str, options: ParallelOptions | None = None) -> list[Seen]:
        key = repr(case)
        if key not in alone:
            (alone[key],) = pool.run(run_case, 1, case, ParallelSpec(), ParallelOptions())
        spec = ParallelSpec.parse(layout)
        seen = pool.run(run_case, spec.world_size, case, spec, options or ParallelOptions())
        assert_equal(seen, alone[key], case)
        return seen

    return check
