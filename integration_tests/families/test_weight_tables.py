"""The weight table of every family: conserving and reversible, for each of its classes, on names and shapes alone."""

import pytest
import torch

from hf_config import config_class
from hf_modeling.classes import model_class
from hf_modeling.families import FAMILIES, find_family
from hf_modeling.families.family import Task
from hf_modeling.init import without_weights
from hf_modeling.weights.plan import Shapes, plan_load, plan_save
from hf_modeling.weights.slots import find_slots
from hf_modeling.weights.table import WeightTable
from integration_tests.families.tiny_configs import ROWS, Row

CASES = [
    pytest.param(row, task, id=f"{row.name}-{task}")
    for row in ROWS
    if row.model_type in FAMILIES
    for task in find_family(row.model_type).classes
]


def outline(row: Row, task: Task) -> tuple[Shapes, Shapes, dict[str, str], WeightTable]:
    """Shapes in memory and on disk, by the names of a headed model, ties, and the table."""
    config = config_class(row.model_type).from_dict(row.arguments)
    with without_weights():
        model = model_class(find_family(row.model_type), task)(config)
    slots, ties = find_slots(model, "model." if task == "base" else "")
    wanted = {name: tuple(slot.tensor.shape) for name, slot in slots.items()}
    table = model.weight_table()
    disk: dict[str, tuple[int, ...]] = {}
    for step in plan_save(table, {name: shape for name, shape in wanted.items() if name not in ties}):
        outlines = step.save([torch.empty(wanted[name], device="meta") for name in step.inputs])
        for name, tensor in outlines.items():
            assert name not in disk, f"{name} is written twice"
            disk[name] = tuple(tensor.shape)
    return wanted, disk, ties, table


@pytest.mark.parametrize(("row", "task"), CASES)
def test_tables_are_conserving_and_reversible(row: Row, task: Task) -> None:
    wanted, disk, ties, table = outline(row, task)
    for bare in (False, True):
        stored = {name.removeprefix(table.prefix) if bare else name: shape for name, shape in disk.items()}
        found = plan_load(table, stored, wanted, ties=ties, skip=lambda name: False, where=row.name)
        assert (found.missing, found.unexpected, found.mismatched, found.repeats) == ({}, [], [], [])
        read = [name for step in found.steps for name in step.inputs]
        made = [name for step in found.steps for name in step.outputs]
        assert sorted([*read, *found.dropped]) == sorted(stored), "a tensor on disk is claimed once"
        assert sorted(made) == sorted(wanted.keys() - ties.keys()), "a weight is made once"
        assert not found.dropped, "nothing that is saved is left out when loading"
