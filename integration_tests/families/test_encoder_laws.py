"""Laws of encoders that need no peer: prints as they were read, tables that conserve, files that stand alone."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hf_config import config_class
from hf_modeling import AutoModelForMaskedLM
from hf_modeling.classes import model_class
from hf_modeling.export import export_code
from hf_modeling.families import FAMILIES, find_family
from hf_modeling.families.family import Task
from hf_modeling.init import without_weights
from hf_modeling.weights.plan import plan_load, plan_save
from hf_modeling.weights.slots import find_slots
from integration_tests.families.encoder_rows import ENCODERS, FIRST, EncoderRow
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.oracle import fill, random_ids, relative_error

CASES = [
    pytest.param(row, task, id=f"{row.name}-{task}")
    for row in ENCODERS
    for task in find_family(row.model_type).classes
]
FILLING = [row for row in FIRST if "masked-lm" in find_family(row.model_type).classes]


@pytest.mark.parametrize("row", FIRST, ids=lambda row: row.model_type)
def test_spec_and_weight_table_print_as_they_were_read(row: EncoderRow) -> None:
    assert printed(row) == golden_file(row).read_text(), "read the change, then write_golden if it is right"


def test_no_print_is_left_of_a_family_that_is_gone() -> None:
    assert {path.stem for path in (GOLDEN / "encoders").glob("*.txt")} == {row.model_type for row in FIRST}


def test_every_encoder_family_has_three_rows() -> None:
    encoders = {name for name in FAMILIES if find_family(name).skeleton == "encoder"}
    rows = [row.model_type for row in ENCODERS]
    assert {name for name in encoders if rows.count(name) < 3} == set()


@pytest.mark.parametrize(("row", "task"), CASES)
def test_tables_are_conserving_and_reversible(row: EncoderRow, task: Task) -> None:
    config = config_class(row.model_type).from_dict(row.arguments)
    with without_weights():
        model = model_class(find_family(row.model_type), task)(config)
    slots, ties = find_slots(model, "model." if task == "base" else "")
    wanted = {name: tuple(slot.tensor.shape) for name, slot in slots.items()}
    table = model.weight_table()
    disk: dict[str, tuple[int, ...]] = {}
    for step in plan_save(table, {name: shape for name, shape in wanted.items() if name not in ties}):
        outlines = step.save([torch.empty(wanted[name], device="meta") for name in step.inputs])
        assert not outlines.keys() & disk.keys(), "a tensor is written twice"
        disk |= {name: tuple(tensor.shape) for name, tensor in outlines.items()}
    for bare in (False, True):
        stored = {name.removeprefix(table.prefix) if bare else name: shape for name, shape in disk.items()}
        found = plan_load(table, stored, wanted, ties=ties, skip=lambda name: False, where=row.name)
        assert (found.missing, found.unexpected, found.mismatched, found.repeats) == ({}, [], [], [])
        assert not found.dropped, "nothing that is saved is left out when loading"
        assert sorted(name for step in found.steps for name in step.inputs) == sorted(stored)


@pytest.mark.parametrize("row", FILLING, ids=lambda row: row.model_type)
def test_exported_file_has_the_same_logits(
    row: EncoderRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_class(row.model_type).from_dict(row.arguments)
    model = AutoModelForMaskedLM.from_config(config).eval()
    fill(model)
    model.save_pretrained(tmp_path)
    module = ModuleType("exported")
    monkeypatch.setitem(sys.modules, "exported", module)  # where dataclasses look up their module
    exec(compile(export_code(config), f"exported_{row.name}.py", "exec"), module.__dict__)
    exported = module.load(str(tmp_path))
    ids, real = random_ids(2, row.length), torch.ones(2, row.length, dtype=torch.long)
    real[1, 9:] = 0
    with torch.no_grad():
        expected = model(ids, attention_mask=real).logits
        actual = exported(ids, attention_mask=real)
    for mine, its, kept in zip(actual, expected, real.bool(), strict=True):
        assert relative_error(mine[kept], its[kept]) < 1e-5
