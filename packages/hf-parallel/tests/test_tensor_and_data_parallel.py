"""Tensor, sequence and data parallelism give what one process gives: loss, gradients, norm, and trained weights."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hf_parallel.options import ParallelOptions
from hf_parallel.testing.cases import FAMILIES, LLAMA, MIXTURE, TIED
from hf_parallel.testing.compare import Case, Seen

Check = Callable[..., list[Seen]]

SEQUENCE = ParallelOptions(sequence_parallel=True)
LOSS = ParallelOptions(loss_parallel=True)
BOTH = ParallelOptions(sequence_parallel=True, loss_parallel=True)


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("tp=2", None),
        ("tp=4", None),
        ("tp=2", SEQUENCE),
        ("tp=4", SEQUENCE),
        ("tp=2", LOSS),
        ("tp=4", BOTH),
        ("dp_shard=2", None),
        ("dp_shard=4", None),
        ("dp_replicate=2", None),
        ("dp_replicate=2,dp_shard=2", None),
        ("tp=2,dp_shard=2", None),
        ("tp=2,dp_replicate=2", BOTH),
        ("tp=2,dp_replicate=2,dp_shard=2", SEQUENCE),
        ("tp=4,dp_shard=2", BOTH),
    ],
    ids=lambda value: value if isinstance(value, str) else _named(value),
)
def test_every_layout_steps_as_one_process(
    same_as_alone: Check, layout: str, options: ParallelOptions
) -> None:
    same_as_alone(LLAMA, layout, options)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "llama"])
@pytest.mark.parametrize("options", [None, BOTH], ids=lambda value: _named(value))
def test_every_mechanism_falls_into_shares(
    same_as_alone: Check, name: str, options: ParallelOptions | None
) -> None:
    same_as_alone(FAMILIES[name], "tp=2,dp_shard=2", options)


def test_micro_batches_add_up(same_as_alone: Check) -> None:
    same_as_alone(replace(TIED, accumulate=2), "tp=2,dp_shard=2", SEQUENCE)


def test_shards_in_main_memory(same_as_alone: Check) -> None:
    same_as_alone(LLAMA, "dp_shard=2", ParallelOptions(offload=True))


def test_weights_kept_between_passes(same_as_alone: Check) -> None:
    same_as_alone(LLAMA, "dp_shard=2,tp=2", ParallelOptions(reshard=False))


def test_parts_can_be_taken_out_of_the_plan(same_as_alone: Check) -> None:
    options = ParallelOptions(replicate=("model.layers.*.self_attn", "model.embed_tokens"))
    seen = same_as_alone(MIXTURE, "tp=2", options)
    assert seen[0].grads["model.layers.0.self_attn.q_proj.weight"].shape == (32, 32)


def _named(options: ParallelOptions | None) -> str:
    if options is None:
        return "plain"
    flags = {"sequence": options.sequence_parallel, "loss": options.loss_parallel}
    return "-".join(name for name, on in flags.items() if on)


def test_a_wrong_gradient_would_be_noticed(same_as_alone: Check) -> None:
    wrong: Case = replace(LLAMA, ragged=False)
    right = same_as_alone(LLAMA, "tp=2")
    from hf_parallel.testing.compare import assert_equal

    other = same_as_alone(wrong, "tp=2")
    with pytest.raises(AssertionError, match="loss"):
        assert_equal(other, right[0], LLAMA)
