"""The golden print of every row: a change of any shared part shows in each family that it touches."""

from dataclasses import fields

import pytest

from hf_modeling.families import FAMILIES, find_family
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.tiny_configs import ROWS, Row

KNOWN = [row for row in ROWS if row.model_type in FAMILIES]


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.name)
def test_spec_and_weight_table_print_as_they_were_read(row: Row) -> None:
    assert printed(row) == golden_file(row).read_text(), "read the change, then write_golden if it is right"


def test_no_print_is_left_of_a_row_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} <= {row.name for row in ROWS}


def test_every_decoder_family_has_a_row() -> None:
    described = {row.model_type for row in ROWS}
    families = {name: find_family(name) for name in FAMILIES}
    decoders = {name for name, family in families.items() if family.skeleton == "decoder"}
    # What also sees or hears is described by the row of the text model inside.
    inside = {
        name for name in decoders if any(f.name == "text_config" for f in fields(families[name].config))
    }
    assert decoders - inside <= described
