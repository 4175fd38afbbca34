"""The weight language: what claims what, in both directions, on names and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hf_modeling.weights import (
    Drop,
    Rule,
    Same,
    Split,
    Stack,
    Transpose,
    WeightTable,
    chain,
    concat,
    drop,
    renames,
    rule,
)
from hf_modeling.weights.errors import AmbiguousWeightsError
from hf_modeling.weights.match import Patterns, is_index
from hf_modeling.weights.plan import OTHER_HEAD, LoadPlan, Shapes, plan_load, plan_save

DISK, MEMORY = "transformer.h.{layer}.", "model.layers.{layer}."

TABLE = WeightTable(
    prefix="transformer.",
    rules=(
        drop(DISK + "attn.bias", why="the causal mask"),
        *renames(
            {"wte.weight": "embed_tokens.weight", "ln_f.{s}": "norm.{s}"},
            disk="transformer.",
            memory="model.",
        ),
        rule(
            DISK + "attn.c_attn.{s}",
            (MEMORY + "q_proj.{s}", MEMORY + "k_proj.{s}", MEMORY + "v_proj.{s}"),
            chain(Transpose(), Split((4, 4, 4))),
        ),
        rule(
            (DISK + "experts.{expert}.gate.weight", DISK + "experts.{expert}.up.weight"),
            MEMORY + "experts.gate_up_proj",
            Stack(2),
            layers=frozenset({1}),
        ),
        rule((DISK + "mlp.gate.weight", DISK + "mlp.up.weight"), MEMORY + "mlp.gate_up", concat((3, 3))),
    ),
)

WANTED: Shapes = {
    "model.embed_tokens.weight": (10, 4),
    "model.norm.weight": (4,),
    "model.norm.bias": (4,),
    **{f"model.layers.{i}.{p}_proj.weight": (4, 4) for i in range(2) for p in "qkv"},
    **{f"model.layers.{i}.{p}_proj.bias": (4,) for i in range(2) for p in "qkv"},
    "model.layers.0.mlp.gate_up": (6, 4),
    "model.layers.1.experts.gate_up_proj": (2, 6, 4),
    "lm_head.weight": (10, 4),
}

ON_DISK: dict[str, tuple[int, ...]] = {
    "transformer.wte.weight": (10, 4),
    **{f"transformer.h.{i}.attn.bias": (1, 1, 8, 8) for i in range(2)},
    **{f"transformer.h.{i}.attn.c_attn.weight": (4, 12) for i in range(2)},
    **{f"transformer.h.{i}.attn.c_attn.bias": (12,) for i in range(2)},
    "transformer.h.0.mlp.gate.weight": (3, 4),
    "transformer.h.0.mlp.up.weight": (3, 4),
    **{f"transformer.h.1.experts.{e}.{p}.weight": (3, 4) for p in ("up", "gate") for e in (1, 0)},
    "transformer.ln_f.weight": (4,),
    "transformer.ln_f.bias": (4,),
    "lm_head.weight": (10, 4),
}


def plan(
    disk: Shapes = ON_DISK,
    wanted: Shapes = WANTED,
    *,
    table: WeightTable = TABLE,
    ties: Mapping[str, str] | None = None,
    skip: Callable[[str], bool] = lambda name: False,
) -> LoadPlan:
    return plan_load(table, disk, wanted, ties=ties or {}, skip=skip, where="here")


def without(shapes: Shapes, *names: str) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if name not in names}


def assert_clean(found: LoadPlan, disk: Shapes = ON_DISK, wanted: Shapes = WANTED) -> None:
    assert not found.missing
    assert not found.unexpected
    assert not found.mismatched
    inputs = [name for step in (*found.steps, *found.repeats) for name in step.inputs]
    assert sorted([*inputs, *found.dropped]) == sorted(disk), "every disk tensor is claimed exactly once"


def test_every_tensor_is_claimed_once_and_every_weight_made_once() -> None:
    found = plan()
    assert_clean(found)
    assert found.dropped == dict.fromkeys(
        ("transformer.h.0.attn.bias", "transformer.h.1.attn.bias"), "the causal mask"
    )
    made = [name for step in found.steps for name in step.load(meta(step.inputs, ON_DISK))]
    assert sorted(made) == sorted(WANTED)


def test_saving_is_the_inverse_on_real_tensors() -> None:
    disk = {name: torch.rand(shape) for name, shape in ON_DISK.items() if not name.endswith(".attn.bias")}
    memory: dict[str, Tensor] = {}
    for step in plan({name: tuple(t.shape) for name, t in disk.items()}).steps:
        memory.update(step.load([disk[name] for name in step.inputs]))
    assert {name: tuple(t.shape) for name, t in memory.items()} == dict(WANTED)
    back: dict[str, Tensor] = {}
    for step in plan_save(TABLE, WANTED):
        back.update(step.save([memory[name] for name in step.inputs]))
    assert back.keys() == disk.keys()
    assert all(torch.equal(back[name], disk[name]) for name in disk)


def test_gathered_experts_come_in_numeric_order() -> None:
    names = [
        f"transformer.h.1.experts.{e}.{p}.weight"
        for e in (10, 9, 2, 1, 0, *range(3, 9))
        for p in ("up", "gate")
    ]
    disk = {**without(ON_DISK, *(n for n in ON_DISK if "experts" in n)), **dict.fromkeys(names, (3, 4))}
    found = plan(disk, {**WANTED, "model.layers.1.experts.gate_up_proj": (11, 6, 4)})
    (step,) = (s for s in found.steps if isinstance(s.rule.op, Stack))
    assert step.inputs == tuple(
        f"transformer.h.1.experts.{e}.{p}.weight" for p in ("gate", "up") for e in range(11)
    )


def test_base_checkpoint_without_the_prefix_loads_into_a_headed_model() -> None:
    disk = {name.removeprefix("transformer."): shape for name, shape in ON_DISK.items()}
    assert_clean(plan(disk), disk)


def test_headed_checkpoint_loads_into_a_base_model_and_says_so() -> None:
    found = plan(wanted=without(WANTED, "lm_head.weight"))
    assert_clean(found)
    assert found.dropped["lm_head.weight"] == OTHER_HEAD


def test_a_missing_head_is_missing_and_another_head_is_left_out() -> None:
    wanted = {**without(WANTED, "lm_head.weight"), "score.weight": (2, 4)}
    found = plan(wanted=wanted)
    assert found.missing == {"score.weight": ("score.weight",)}
    assert found.dropped["lm_head.weight"] == OTHER_HEAD


def test_an_extra_tensor_in_a_head_the_model_has_is_unexpected() -> None:
    found = plan({**ON_DISK, "lm_head.scale": (1,), "transformer.h.0.attn.extra": (2,), "extra": (1,)})
    assert found.unexpected == ["lm_head.scale", "transformer.h.0.attn.extra", "extra"]


def test_missing_weights_are_told_by_their_names_on_disk() -> None:
    found = plan(without(ON_DISK, "transformer.h.0.attn.c_attn.bias", "transformer.ln_f.bias"))
    assert found.missing == {
        **{f"model.layers.0.{p}_proj.bias": ("transformer.h.0.attn.c_attn.bias",) for p in "qkv"},
        "model.norm.bias": ("transformer.ln_f.bias",),
    }
    bare = {name.removeprefix("transformer."): shape for name, shape in ON_DISK.items()}
    assert plan(without(bare, "ln_f.bias")).missing == {"model.norm.bias": ("ln_f.bias",)}


def test_half_of_a_fused_set_is_missing_the_other_half() -> None:
    found = plan(without(ON_DISK, "transformer.h.0.mlp.up.weight"))
    assert found.missing == {"model.layers.0.mlp.gate_up": ("transformer.h.0.mlp.up.weight",)}
    assert found.unexpected == ["transformer.h.0.mlp.gate.weight"]


def test_a_gap_in_the_experts_is_named() -> None:
    lost = "transformer.h.1.experts.0.up.weight"
    assert plan(without(ON_DISK, lost)).missing == {"model.layers.1.experts.gate_up_proj": (lost,)}


def test_a_guard_keeps_a_rule_to_its_layers() -> None:
    name = "transformer.h.0.experts.0.gate.weight"
    assert plan({**ON_DISK, name: (3, 4)}).unexpected == [name]


def test_wrong_shapes_and_sizes_that_do_not_split_are_mismatches() -> None:
    changed = {"transformer.wte.weight": (11, 4), "transformer.h.0.attn.c_attn.weight": (4, 13)}
    first, second = plan({**ON_DISK, **changed}).mismatched
    assert (first.name, first.found, first.needed) == ("model.embed_tokens.weight", (11, 4), (10, 4))
    assert second.found == (4, 13)
    assert "split" in second.blame


def test_fused_and_split_forms_together_are_ambiguous() -> None:
    mlp = MEMORY + "mlp."
    halves = (mlp + "gate_proj.weight", mlp + "up_proj.weight")
    table = WeightTable(rules=(rule(mlp + "gate_up_proj.weight", halves, Split((3, 3))),))
    wanted = {f"model.layers.0.mlp.{p}_proj.weight": (3, 4) for p in ("gate", "up")}
    disk = {"model.layers.0.mlp.gate_up_proj.weight": (6, 4), **wanted}
    with pytest.raises(
        AmbiguousWeightsError, match=r"gives model\.layers\.0\.mlp\.gate_proj\.weight twice"
    ) as error:
        plan(disk, wanted, table=table)
    assert error.value.sources == (
        ("model.layers.0.mlp.gate_up_proj.weight",),
        ("model.layers.0.mlp.gate_proj.weight",),
    )
    found = plan(disk, wanted, table=table, skip=lambda name: "gate_up" not in name)
    assert_clean(found, disk, wanted)


@pytest.mark.parametrize("on_disk", [("a",), ("b",), ("a", "b")])
def test_tied_weights_may_be_stored_under_any_of_their_names(on_disk: tuple[str, ...]) -> None:
    disk = {f"{name}.weight": (3, 2) for name in on_disk}
    wanted = {"a.weight": (3, 2), "b.weight": (3, 2)}
    found = plan(disk, wanted, table=WeightTable(), ties={"b.weight": "a.weight"})
    assert not found.missing
    assert [step.inputs for step in found.steps] == [(f"{on_disk[0]}.weight",)]
    assert [step.inputs for step in found.repeats] == [("b.weight",)] * (len(on_disk) - 1)


def test_norms_may_have_the_words_of_the_first_bert_files() -> None:
    old = {
        "transformer.ln_f.weight": "transformer.ln_f.gamma",
        "transformer.ln_f.bias": "transformer.ln_f.beta",
    }
    disk = {old.get(name, name): shape for name, shape in ON_DISK.items()}
    assert_clean(plan(disk), disk)
    assert plan({**ON_DISK, "transformer.ln_f.gamma": (4,)}).unexpected == ["transformer.ln_f.gamma"]
    assert [
        step.outputs for step in plan_save(WeightTable(rules=(rule("a.{s}", "b.{s}"),)), {"b.gamma": (1,)})
    ] == [("b.gamma",)]


def test_an_empty_table_keeps_names() -> None:
    shapes = {"model.a.weight": (2,), "b": (1, 2)}
    found = plan(shapes, shapes, table=WeightTable())
    assert [step.inputs for step in found.steps] == [("model.a.weight",), ("b",)]
    assert all(isinstance(step.rule.op, Same) for step in found.steps)


def test_sides_of_a_rule_must_have_the_same_placeholders() -> None:
    with pytest.raises(ValueError, match="may differ in one number placeholder"):
        Rule(("a.{layer}.{expert}",), ("b",))
    with pytest.raises(ValueError, match="may differ"):
        Rule(("a.{s}",), ("b",))


def meta(names: tuple[str, ...], shapes: Shapes) -> list[Tensor]:
    return [torch.empty(shapes[name], device="meta") for name in names]


SEGMENT = st.text("abw.0123456789", min_size=1, max_size=4).filter(lambda s: "." not in s)


@given(
    patterns=st.lists(
        st.lists(
            st.sampled_from(["a", "b", "0", "{layer}", "{s}", "weight", "{rest}"]), min_size=1, max_size=4
        )
    ),
    name=st.lists(st.sampled_from(["a", "b", "0", "7", "07", "weight", "bias"]), min_size=1, max_size=5),
)
def test_the_trie_finds_what_trying_each_pattern_finds(patterns: list[list[str]], name: list[str]) -> None:
    usable = [p for p in patterns if "{rest}" not in p[:-1]]
    trie = Patterns([(".".join(p),) for p in usable])
    expected = [i for i, p in enumerate(usable) if fits(p, name)]
    assert [match.rule for match in trie.match(".".join(name))] == expected


def fits(pattern: list[str], name: list[str]) -> bool:
    if pattern == ["{rest}"]:
        return bool(name)
    if not pattern or not name:
        return pattern == name
    head = pattern[0]
    ok = (
        is_index(name[0])
        if head == "{layer}"
        else name[0] in ("weight", "bias")
        if head == "{s}"
        else head == name[0]
    )
    return ok and fits(pattern[1:], name[1:])


def test_hostile_names_are_matched_in_linear_time() -> None:
    table = WeightTable(rules=(*TABLE.rules, Drop(("{layer}.{expert}.{rest}",), "x")))
    trie = Patterns(r.disk for r in table.rules)
    assert len(trie.match(".".join(["0"] * 50_000))) == 1
