"""What cannot be done is said before it is tried; what rounds, rounds as little as it must."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hf_modeling.heads.causal_lm import CausalLM
from hf_parallel import LayoutError, ParallelDims, ParallelSpec, seed_ranks
from hf_parallel.gradients import clip_gradients, global_norm, gradients
from hf_parallel.load import load_parallel
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import parallelize
from hf_parallel.plan import make_plan
from hf_parallel.save import SaveFailedError, save_parallel
from hf_parallel.step import train_step
from hf_parallel.summary import RunSummary, summarize
from hf_parallel.testing.cases import HYBRID, LLAMA, MIXTURE, POSITIONS, STATES, TIED
from hf_parallel.testing.compare import (
    Case,
    Seen,
    class_of,
    config_of,
    micro_batches,
    run_case,
    shapes_of,
    take_steps,
    together,
)
from hf_parallel.testing.pool import JobError, Pool

Check = Callable[..., list[Seen]]


def test_a_bfloat16_step_is_near_a_float32_one(pool: Pool, same_as_alone: Check) -> None:
    case = replace(LLAMA, steps=0)
    exact = same_as_alone(case, "dp_shard=2")
    options = ParallelOptions(param_dtype="bfloat16", reduce_dtype="float32")
    for layout in ("dp_shard=2", "tp=2,dp_shard=2"):
        spec = ParallelSpec.parse(layout)
        rounded = pool.run(run_case, spec.world_size, case, spec, options)
        assert abs(rounded[0].loss - exact[0].loss) < 0.02 * exact[0].loss
        assert rounded[0].norm == pytest.approx(exact[0].norm, rel=0.1)
        assert rounded[0].loss != exact[0].loss


def test_more_ranks_than_rows(same_as_alone: Check) -> None:
    same_as_alone(replace(LLAMA, rows=8), "dp_shard=8")


def test_odd_sequences_are_refused_where_tokens_are_shared_out(pool: Pool) -> None:
    case = replace(LLAMA, tokens=15)
    with pytest.raises(JobError, match="15 tokens do not fall evenly on tp=2"):
        pool.run(run_case, 2, case, ParallelSpec(tp=2), ParallelOptions(sequence_parallel=True))


def clipped(layout: str) -> tuple[float, float, float]:
    """The norm before, the norm after, and the largest element after clipping."""
    parallel = parallelize(class_of(MIXTURE), config_of(MIXTURE), ParallelDims(ParallelSpec.parse(layout)))
    parallel.train(False)
    dims = parallel.dims
    train_step(parallel, micro_batches(MIXTURE, dims.batch_rank, dims.batch_ways))
    before = clip_gradients(parallel, 0.5)
    largest = max(float(grad.abs().max()) for _, grad in gradients(parallel) if grad.numel())
    return float(before), float(global_norm(parallel)), largest


@pytest.mark.parametrize(
    "layout", ["tp=4", "tp=2,dp_shard=2", "dp_shard=4,ep=2", "tp=2,dp_shard=2,ep=2", "pp=2"]
)
def test_clipping_sees_every_element_once(pool: Pool, layout: str) -> None:
    ((alone, _, top),) = pool.run(clipped, 1, "")
    for before, after, _ in (seen := pool.run(clipped, ParallelSpec.parse(layout).world_size, layout)):
        assert before == pytest.approx(alone, rel=1e-5)
        assert after == pytest.approx(0.5, rel=1e-4)
    assert max(largest for *_, largest in seen) == pytest.approx(top, rel=1e-4)


def cannot_write(source: str, target: str) -> str:
    parallel = load_parallel(class_of(LLAMA), source, ParallelDims(ParallelSpec(tp=2)))
    try:
        save_parallel(parallel, target)
    except (SaveFailedError, OSError) as error:
        return type(error).__name__
    return ""


def test_a_failed_save_is_known_to_all_ranks(pool: Pool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    class_of(LLAMA)(config_of(LLAMA)).save_pretrained(tmp_path / "source")
    (tmp_path / "file").write_text("in the way")
    first, second = pool.run(cannot_write, 2, str(tmp_path / "source"), str(tmp_path / "file" / "target"))
    assert first
    assert second == "SaveFailedError"


def damaged(source: str) -> None:
    load_parallel(class_of(LLAMA), source, ParallelDims(ParallelSpec(tp=2)))


def test_a_half_written_checkpoint_stops_every_rank(pool: Pool, tmp_path: Path) -> None:
    class_of(LLAMA)(config_of(LLAMA)).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(JobError, match="2 of 2 ranks failed"):
        pool.run(damaged, 2, str(tmp_path))


@pytest.mark.parametrize(
    ("case", "layout", "why"),
    [
        (LLAMA, "tp=3", "4 query heads over 2 key heads do not fall evenly on tp=3"),
        (HYBRID, "tp=4", "4 value heads over 2 key heads do not fall evenly on tp=4"),
        (STATES, "tp=3", "8 heads over 1 groups do not fall evenly on tp=3"),
    ],
)
def test_heads_that_do_not_fall_evenly(case: Case, layout: str, why: str) -> None:
    with pytest.raises(LayoutError, match=why):
        make_plan(class_of(case), config_of(case), ParallelSpec.parse(layout))


def test_a_plan_can_be_read() -> None:
    text = str(make_plan(class_of(TIED), config_of(TIED), ParallelSpec(tp=4)))
    lines = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert "[61, 32] -> [16, 32]  column" in lines["model.embed_tokens.weight"]
    assert "2 x [16, 32] -> [8, 32]  column, 2 copies" in lines["model.layers.*.self_attn.k_proj.weight"]
    assert "2 x [32, 46] -> [32, 12]  row" in lines["model.layers.*.mlp.down_proj.weight"]
    assert "replicated" in lines["model.norm.weight"]


def test_kinds_of_models_that_only_data_parallelism_serves() -> None:
    from hf_config import AutoConfig
    from hf_modeling.classes import find_class

    config = AutoConfig.for_model(
        "bart",
        vocab_size=32,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )
    with pytest.raises(LayoutError, match="is not one stack of layers"):
        make_plan(find_class("BartForConditionalGeneration"), config, ParallelSpec(tp=2))
    assert not issubclass(find_class("BartForConditionalGeneration"), CausalLM)


def summary(layout: str) -> tuple[RunSummary, str]:
    parallel = parallelize(class_of(TIED), config_of(TIED), ParallelDims(ParallelSpec.parse(layout)))
    made = summarize(parallel, rows_per_rank=2, tokens_per_row=16, accumulate=3)
    return made, str(made)


def test_a_run_is_summed_up(pool: Pool) -> None:
    ((alone, _),) = pool.run(summary, 1, "")
    seen = pool.run(summary, 8, "dp_replicate=2,dp_shard=2,tp=2")
    assert {each.rows for each, _ in seen} == {2 * 4 * 3}
    assert {each.tokens for each, _ in seen} == {2 * 4 * 3 * 16}
    assert all(each.parameters == alone.parameters == alone.own_parameters for each, _ in seen)
    # Two shards of two shares; norms are in every share, and the vocabulary's last rows are padding.
    assert alone.parameters / 4 < seen[0][0].own_parameters < 0.3 * alone.parameters
    assert seen[0][1].startswith(
        "layout      dp_replicate=2,dp_shard=2,tp=2 on 8 processes\nbatch       24 rows"
    )


def with_dropout(layout: str) -> Seen:
    """Training mode, with dropout between parts and inside of them."""
    case = replace(
        POSITIONS, config={**POSITIONS.config, "resid_pdrop": 0.2, "attn_pdrop": 0.2, "embd_pdrop": 0.2}
    )
    dims = ParallelDims(ParallelSpec.parse(layout))
    seed_ranks(dims, 5)
    parallel = parallelize(class_of(case), config_of(case), dims)
    parallel.train()
    return take_steps(case, parallel)


def test_dropout_keeps_tensor_parallel_ranks_one_model(pool: Pool) -> None:
    seen = pool.run(with_dropout, 4, "tp=2,dp_shard=2")
    assert len({each.loss for each in seen}) == 1
    # Fails if ranks hold different values of what they should hold alike.
    whole = together([(each.held, each.parameters) for each in seen], shapes_of(POSITIONS))
    assert all(bool(tensor.isfinite().all()) for tensor in whole.values())
    (plain,) = pool.run(run_case, 1, POSITIONS, ParallelSpec(), ParallelOptions())
    assert abs(seen[0].loss - plain.loss) > 1e-4


def drawn() -> float:
    seed_ranks(ParallelDims(ParallelSpec(dp_shard=2, tp=2)), 3)
    return float(torch.rand(()))


def test_seeds_differ_where_data_does(pool: Pool) -> None:
    first, second, third, fourth = pool.run(drawn, 4)
    assert first == second != third == fourth
