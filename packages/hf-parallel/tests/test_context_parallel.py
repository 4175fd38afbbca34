"""Sequences cut over ranks give what whole ones give, whatever the mask and however keys travel."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch

from hf_parallel import LayoutError, LayoutMismatchError, ParallelSpec
from hf_parallel.context import ContextOrder
from hf_parallel.options import ContextKind, ParallelOptions
from hf_parallel.plan import make_plan
from hf_parallel.step import Batch
from hf_parallel.testing.cases import DISTANCES, HYBRID, LATENT, LLAMA, MIXTURE, POSITIONS, SINKS, WINDOWED
from hf_parallel.testing.compare import Case, Seen, class_of, config_of
from hf_parallel.validate import check_plan

Check = Callable[..., list[Seen]]
KINDS: tuple[ContextKind, ...] = get_args(ContextKind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["cp=2", "cp=4"])
@pytest.mark.parametrize("balance", [True, False], ids=["balanced", "in order"])
def test_every_way_for_keys_to_travel(
    same_as_alone: Check, kind: ContextKind, layout: str, balance: bool
) -> None:
    same_as_alone(LLAMA, layout, ParallelOptions(context=kind, balance=balance))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(WINDOWED, id="window and softcap"),
        pytest.param(SINKS, id="sinks"),
        pytest.param(replace(LLAMA, packed=True), id="packed"),
        pytest.param(replace(LLAMA, padded=True), id="padded"),
        pytest.param(replace(WINDOWED, packed=True), id="packed window"),
        pytest.param(replace(LLAMA, accumulate=2), id="accumulated"),
        pytest.param(POSITIONS, id="learned positions"),
        pytest.param(LATENT, id="latent"),
        pytest.param(MIXTURE, id="mixture"),
    ],
)
def test_every_mask(same_as_alone: Check, kind: ContextKind, case: Case) -> None:
    same_as_alone(case, "cp=2", ParallelOptions(context=kind))


@pytest.mark.parametrize(
    "layout", ["cp=2,dp_shard=2", "cp=2,tp=2", "cp=2,dp_shard=2,tp=2", "cp=2,dp_replicate=2"]
)
def test_products_with_other_axes(same_as_alone: Check, layout: str) -> None:
    same_as_alone(LLAMA, layout, ParallelOptions(sequence_parallel="tp" in layout))


def test_balanced_chunks_give_every_rank_as_many_pairs_to_score() -> None:
    order = ContextOrder(4)
    work = [int((order.of_rank(rank, 64) + 1).sum()) for rank in range(4)]
    assert len(set(work)) == 1
    assert sorted(order.of_all(64).tolist()) == list(range(64))


def test_a_sequence_that_does_not_fall_into_chunks() -> None:
    ids = torch.zeros(1, 10, dtype=torch.long)
    with pytest.raises(LayoutMismatchError, match="10 tokens do not fall into 4 chunks for cp=2"):
        ContextOrder(2).part(Batch.causal(ids), 0)


@pytest.mark.parametrize(
    ("case", "why"), [(HYBRID, "GatedDelta reads its neighbours in order"), (DISTANCES, "a bias by distance")]
)
def test_models_whose_sequences_cannot_be_cut(case: Case, why: str) -> None:
    plan = make_plan(class_of(case), config_of(case), ParallelSpec(cp=2))
    with pytest.raises(LayoutError, match=why):
        check_plan(class_of(case), plan, ParallelOptions())
