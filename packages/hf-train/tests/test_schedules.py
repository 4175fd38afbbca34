"""Learning rates: golden values of every closed form, what the forms promise, and refusals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hf_hub_io import JsonValue
from hf_train.greedy import GreedyLR
from hf_train.schedules import MEASURED, SCHEDULES, ScheduleError, make_schedule

Options = dict[str, JsonValue]
GOLDEN: dict[str, tuple[str, Options, list[float]]] = {
    "linear": ("linear", {}, [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]),
    "cosine": ("cosine", {}, [0, 0.5, 1, 0.9619, 0.8536, 0.6913, 0.5, 0.3087, 0.1464, 0.0381, 0]),
    "restarts": (
        "cosine_with_restarts",
        {"num_cycles": 2},
        [0, 0.5, 1, 0.8536, 0.5, 0.1464, 1, 0.8536, 0.5, 0.1464, 0],
    ),
    "polynomial": (
        "polynomial",
        {"lr_end": 0.1, "power": 2},
        [0, 0.5, 1, 0.7891, 0.6062, 0.4516, 0.325, 0.2266, 0.1562, 0.1141, 0.1],
    ),
    "constant": ("constant", {}, [1.0] * 11),
    "constant_with_warmup": ("constant_with_warmup", {}, [0, 0.5, *[1.0] * 9]),
    "inverse_sqrt": (
        "inverse_sqrt",
        {},
        [0, 0.5, 1, 0.8165, 0.7071, 0.6325, 0.5774, 0.5345, 0.5, 0.4714, 0.4472],
    ),
    "min_lr": (
        "cosine_with_min_lr",
        {"min_lr_rate": 0.1},
        [0, 0.5, 1, 0.9657, 0.8682, 0.7222, 0.55, 0.3778, 0.2318, 0.1343, 0.1],
    ),
    "early_min_lr": (
        "cosine_warmup_with_min_lr",
        {"min_lr": 0.1},
        [0.5, 1, 0.9657, 0.8682, 0.7222, 0.55, 0.3778, 0.2318, 0.1343, 0.1, 0.1343],
    ),
    "stable": (
        "warmup_stable_decay",
        {"num_decay_steps": 4, "min_lr_ratio": 0.1},
        [0.1, 0.55, 1, 1, 1, 1, 1, 0.8682, 0.55, 0.2318, 0.1],
    ),
}


def optimizer(lr: float = 1.0) -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr)


def rates(name: str, options: Options, *, warmup: int = 2, total: int = 10, lr: float = 1.0) -> list[float]:
    sgd = optimizer(lr)
    schedule = make_schedule(name, sgd, warmup, total, options)
    seen = []
    for _ in range(total + 1):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()  # type: ignore[call-arg]  # closed forms take no metric
    return seen


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values(case: str) -> None:
    name, options, golden = GOLDEN[case]
    assert rates(name, options) == pytest.approx(golden, abs=6e-5)


def test_every_schedule_is_covered() -> None:
    assert {name for name, _, _ in GOLDEN.values()} | MEASURED == set(SCHEDULES)


@given(
    case=st.sampled_from(sorted(GOLDEN)),
    warmup=st.integers(0, 20),
    after=st.integers(5, 60),
    lr=st.floats(0.2, 5.0),
)
def test_rates_stay_between_nothing_and_the_learning_rate(
    case: str, warmup: int, after: int, lr: float
) -> None:
    name, options, _ = GOLDEN[case]
    seen = rates(name, options, warmup=warmup, total=warmup + after, lr=lr)
    assert all(0 <= rate <= lr * (1 + 1e-12) for rate in seen)
    assert max(seen) == pytest.approx(lr, rel=0.2)


@pytest.mark.parametrize("kind", ["linear", "cosine", "1-sqrt"])
def test_ramps_of_warmup_stable_decay(kind: str) -> None:
    options: Options = {"num_decay_steps": 4, "warmup_type": kind, "decay_type": kind}
    seen = rates("warmup_stable_decay", options, warmup=4, total=10)
    shares = {"linear": 0.25, "cosine": 0.5 * (1 - math.cos(math.pi / 4)), "1-sqrt": 1 - math.sqrt(0.75)}
    assert seen[1] == pytest.approx(shares[kind])
    falls = {"linear": 0.75, "cosine": 0.5 * (1 + math.cos(math.pi / 4)), "1-sqrt": 0.5}
    assert seen[7] == pytest.approx(falls[kind])
    assert (seen[4], seen[6], seen[10]) == (1.0, 1.0, 0.0)


def test_state_of_a_closed_form_is_a_step_count() -> None:
    sgd = optimizer()
    schedule = make_schedule("cosine", sgd, 2, 10)
    for _ in range(4):
        sgd.step()
        schedule.step()  # type: ignore[call-arg]  # closed forms take no metric
    other = optimizer()
    resumed = make_schedule("cosine", other, 2, 10)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.get_last_lr() == schedule.get_last_lr()
    assert schedule.state_dict()["lr_lambdas"] == [{}]


def test_plateau_follows_a_metric() -> None:
    sgd = optimizer()
    schedule = make_schedule("reduce_lr_on_plateau", sgd, options={"factor": 0.1, "patience": 1})
    assert isinstance(schedule, ReduceLROnPlateau)
    for value in (1.0, 1.0, 1.0):
        schedule.step(value)
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.1)


def test_greedy_rises_falls_and_begins_anew() -> None:
    sgd = optimizer(0.5)
    schedule = make_schedule(
        "greedy", sgd, options={"factor": 0.5, "patience": 1, "min_lr": 0.1, "reset_start": 2}
    )
    assert isinstance(schedule, GreedyLR)
    for value in (3.0, 2.0):
        schedule.step(value)
    assert schedule.get_last_lr() == [1.0]
    for _ in range(8):
        schedule.step(9.0)
    assert schedule.get_last_lr() == [0.1]
    for _ in range(2):
        schedule.step(9.0)
    assert schedule.get_last_lr() == [0.5], "two decreases at the lower bound begin anew"


def test_greedy_resumes_where_it_was() -> None:
    values = [5.0, 4.0, 4.5, 4.6, 3.0, 2.0, 1.0, 1.5, 1.6, 1.7, 0.5, 0.4]
    options: Options = {
        "patience": 1,
        "smooth": True,
        "window_size": 3,
        "min_lr": 0.01,
        "threshold_mode": "rel",
    }
    whole, first = optimizer(0.5), optimizer(0.5)
    one = make_schedule("greedy", whole, options=options)
    two = make_schedule("greedy", first, options=options)
    assert isinstance(one, GreedyLR)
    assert isinstance(two, GreedyLR)
    for value in values:
        one.step(value)
    for value in values[:7]:
        two.step(value)
    resumed = GreedyLR(optimizer(0.5), smooth=True)
    resumed.load_state_dict(two.state_dict())
    for value in values[7:]:
        resumed.step(value)
    assert resumed.get_last_lr() == one.get_last_lr()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cosin", {}, "did you mean 'cosine"),
        ("linear", {"num_cycles": 2}, "has no option 'num_cycles'"),
        ("cosine", {"num_cycles": "two"}, "expected a number"),
        ("cosine_with_min_lr", {}, "exactly one of min_lr and min_lr_rate"),
        ("cosine_with_min_lr", {"min_lr": 0.1, "min_lr_rate": 0.1}, "exactly one of"),
        ("polynomial", {"lr_end": 2.0}, "cannot end at lr_end"),
        ("warmup_stable_decay", {}, "needs num_decay_steps"),
        ("warmup_stable_decay", {"num_decay_steps": 2, "decay_type": "steep"}, "expected one of linear"),
        ("greedy", {"factor": 2.0}, "factor is 2.0"),
        ("reduce_lr_on_plateau", {"patince": 2}, "patince"),
    ],
)
def test_what_cannot_be_is_said(name: str, options: Options, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        make_schedule(name, optimizer(), 2, 10, options)


def test_a_decay_needs_an_end() -> None:
    with pytest.raises(ScheduleError, match="needs the number of steps"):
        make_schedule("linear", optimizer(), 2)
