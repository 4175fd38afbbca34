"""How often ranks speak in a step, and how much they say: the least that each axis can do with.

L layers, T tokens of a rank, D width.
"""

import pytest

from hf_parallel import ParallelDims, ParallelSpec
from hf_parallel.mesh import View
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import parallelize
from hf_parallel.record import Kind, recording
from hf_parallel.step import train_step
from hf_parallel.testing.cases import DEEP, MIXTURE
from hf_parallel.testing.compare import Case, class_of, config_of, micro_batches
from hf_parallel.testing.pool import Pool

LAYERS, WIDTH, TOKENS, ROWS = 4, 32, 16, 4
Said = tuple[dict[View, dict[Kind, int]], dict[View, dict[Kind, int]]]


def said_in_a_step(case: Case, layout: str, options: ParallelOptions, accumulate: int) -> Said:
    """Counts and bytes by axis of the second step; the first is for setting up."""
    import torch.distributed as dist

    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = parallelize(class_of(case), config_of(case), dims, options=options)
    batches = micro_batches(case, dims.batch_rank, dims.batch_ways)
    batches = [batch for batch in batches for _ in range(accumulate)]
    train_step(parallel, batches)
    with recording() as record:
        train_step(parallel, batches)
    counts = record.by_axis(dims)
    nbytes = {view: record.nbytes(among=dist.get_process_group_ranks(dims.group(view))) for view in counts}
    return counts, nbytes


def said(
    pool: Pool, layout: str, options: ParallelOptions | None = None, case: Case = DEEP, accumulate: int = 1
) -> Said:
    world = ParallelSpec.parse(layout).world_size
    results = pool.run(said_in_a_step, world, case, layout, options or ParallelOptions(), accumulate)
    assert all(counts == results[0][0] for counts, _ in results), "ranks speak in step"
    return results[0]


def test_tensor_parallel_adds_up_twice_a_part(pool: Pool) -> None:
    counts, nbytes = said(pool, "tp=2", ParallelOptions(loss_parallel=True))
    stream = ROWS * TOKENS * WIDTH * 4
    # Two parts a layer, each once forward and once back; the table forward, the head back; three for the loss.
    assert counts == {"tp": {"all_reduce": 4 * LAYERS + 2 + 2}}
    losses = ROWS * TOKENS * 4 * 3
    assert nbytes == {"tp": {"all_reduce": (4 * LAYERS + 2) * stream + losses}}


def test_sequence_parallel_says_as_much_in_halves(pool: Pool) -> None:
    counts, nbytes = said(pool, "tp=2", ParallelOptions(loss_parallel=True, sequence_parallel=True))
    stream = ROWS * TOKENS * WIDTH * 4
    assert counts["tp"]["all_gather"] == counts["tp"]["reduce_scatter"] == 4 * LAYERS + 2
    assert nbytes["tp"]["all_gather"] == nbytes["tp"]["reduce_scatter"] == (4 * LAYERS + 2) * stream
    # The loss, and the gradients of all norms in one message.
    assert counts["tp"]["all_reduce"] == 2 + 1


@pytest.mark.parametrize("accumulate", [1, 3])
def test_gradients_are_sent_once_a_step(pool: Pool, accumulate: int) -> None:
    counts, nbytes = said(pool, "dp_shard=2", accumulate=accumulate)
    # A layer's weights are gathered forward and back; the table and the last norm once.
    assert counts["fsdp"]["all_gather"] == (2 * LAYERS + 1) * accumulate
    assert counts["fsdp"]["reduce_scatter"] == LAYERS + 1
    weights = _parameters() * 4
    assert nbytes["fsdp"]["reduce_scatter"] == weights


def test_kept_weights_are_gathered_once(pool: Pool) -> None:
    counts, _ = said(pool, "dp_shard=2", ParallelOptions(reshard=False))
    assert counts["fsdp"]["all_gather"] == LAYERS + 1


def test_experts_exchange_rows_there_and_back(pool: Pool) -> None:
    counts, _ = said(pool, "dp_shard=2,ep=2", case=MIXTURE)
    exchanged = counts["fsdp"]["all_to_all"]  # ep is the same pair of ranks
    assert exchanged == 2 * (1 + 2 + 2)  # two layers: how many, there, back, and both again for gradients


def test_a_ring_passes_on_what_it_must(pool: Pool) -> None:
    counts, _ = said(pool, "cp=2", ParallelOptions(context="ring"))
    # Forward one hop of keys and values; back two hops of them and of their gradients.
    assert counts["cp"]["send"] == LAYERS * (2 + 2 * 4)


def _parameters() -> int:
    from hf_modeling.init import without_weights

    with without_weights():
        model = class_of(DEEP)(config_of(DEEP))
    # Rows of each parameter are dealt out in equal shares, the last one padded.
    return sum(-(-p.shape[0] // 2) * 2 * (p.numel() // p.shape[0]) for p in model.parameters())
