"""One pool of processes for all tests of a session (of each xdist worker)."""

from collections.abc import Iterator

import pytest

from hf_parallel.testing.pool import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Up to eight ranks on gloo."""
    made = Pool(8)
    yield made
    made.close()
