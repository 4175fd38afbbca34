"""A layout reads and prints the same text, counts its processes, and refuses what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hub_io.errors import HfError
from hf_parallel import AXES, LayoutError, ParallelSpec

degrees = st.integers(1, 8)


@given(degrees, degrees, degrees, degrees, degrees)
def test_text_reads_back_as_the_same_layout(pp: int, replicate: int, shard: int, cp: int, tp: int) -> None:
    spec = ParallelSpec(pp=pp, dp_replicate=replicate, dp_shard=shard, cp=cp, tp=tp, ep=shard)
    assert ParallelSpec.parse(str(spec)) == spec
    assert spec.world_size == pp * replicate * shard * cp * tp


def test_order_and_spaces_do_not_matter() -> None:
    assert ParallelSpec.parse(" tp = 2 , dp_shard=4") == ParallelSpec(dp_shard=4, tp=2)


def test_nothing_is_one_process() -> None:
    assert ParallelSpec.parse("") == ParallelSpec()
    assert ParallelSpec().world_size == 1


def test_axes_are_the_fields() -> None:
    assert tuple(ParallelSpec.__dataclass_fields__) == AXES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dp_shrd=2", "layout 'dp_shrd=2': no axis is called 'dp_shrd'; did you mean 'dp_shard'?"),
        ("tp", "layout 'tp': 'tp' gives no number\n  fix: write tp=2"),
        ("tp=-1", "layout 'tp=-1': 'tp=-1' gives no number"),
        ("tp=2,tp=4", "layout 'tp=2,tp=4': tp is given twice"),
        ("cp=0", "cp=0: a degree is 1 or more"),
        ("tp=6,ep=4", "ep=4 does not divide dp_shard * cp * tp = 6"),
    ],
)
def test_impossible_layouts_say_why(text: str, message: str) -> None:
    with pytest.raises(LayoutError) as caught:
        ParallelSpec.parse(text)
    assert isinstance(caught.value, HfError)
    assert message in str(caught.value)
    assert caught.value.fix
