"""The registry finds what is installed, and the single-device strategy keeps its promises."""

from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from hf_hub_io.errors import HfError
from hf_train import SingleDevice, Strategy, UnknownStrategyError, strategies, strategy


def test_single_is_registered_and_needs_no_import_to_be_listed() -> None:
    assert strategies()["single"] == EntryPoint(
        "single", "hf_train.strategies:SingleDevice", "hf_train.strategies"
    )


def test_options_reach_the_strategy() -> None:
    made: Strategy = strategy("single", "cpu")
    assert isinstance(made, SingleDevice)
    assert made.device == torch.device("cpu")


def test_unknown_name_lists_the_nearest_and_the_installed() -> None:
    with pytest.raises(UnknownStrategyError) as caught:
        strategy("singel")
    assert isinstance(caught.value, HfError)
    assert isinstance(caught.value, LookupError)
    assert str(caught.value) == (
        "no training strategy is called 'singel'; did you mean 'single'? (installed: "
        f"{', '.join(sorted(strategies()))})\n  fix: pip install hf-parallel, or the package that brings it"
    )


def test_place_keeps_the_model() -> None:
    model = nn.Linear(2, 2)
    assert SingleDevice("cpu").place(model) is model


def test_total_of_one_process_is_the_value() -> None:
    value = torch.tensor(3.0)
    assert SingleDevice("cpu").total(value) is value


def test_clip_returns_the_norm_before_and_bounds_the_norm_after() -> None:
    weight, bias = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    weight.grad, bias.grad = torch.tensor([2.0, 4.0]), torch.tensor([4.0])
    norm = SingleDevice("cpu").clip([weight, bias], max_norm=3.0)
    assert norm.item() == 6.0
    assert torch.cat([weight.grad, bias.grad]).tolist() == pytest.approx([1.0, 2.0, 2.0], rel=1e-5)
