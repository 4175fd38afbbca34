"""Learning rates over the course of training: what each schedule multiplies the learning rate by at a step.

Every schedule but the last two is a closed form `factor(step)`: w warmup steps, T steps in all, and
p = (step - w) / max(1, T - w), the share of what follows the warmup. `greedy` and `reduce_lr_on_plateau` follow
a measured value and live in `hf_train.greedy` and in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, TypeAlias, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from hf_config.errors import suggest
from hf_hub_io import JsonValue
from hf_hub_io.errors import HfError
from hf_train.greedy import GreedyLR

ScheduleName = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
    "reduce_lr_on_plateau",
    "greedy",
]
SCHEDULES: Final[tuple[ScheduleName, ...]] = get_args(ScheduleName)
MEASURED: Final = frozenset({"reduce_lr_on_plateau", "greedy"})
"""Schedules whose `step` takes the value of a metric."""

Ramp = Literal["linear", "cosine", "1-sqrt"]
RAMPS: Final[tuple[Ramp, ...]] = get_args(Ramp)
Scheduler: TypeAlias = LRScheduler | ReduceLROnPlateau | GreedyLR


class ScheduleError(HfError, ValueError):
    """A schedule that does not exist, or options it cannot work with."""


def warmup(step: int, w: int) -> float:
    """The straight way from 0 at step 0 to 1 at step `w`."""
    return step / max(1, w)


def progress(step: int, w: int, total: int) -> float:
    """The share of the steps after the warmup that is done, 1 at `total` and growing beyond it."""
    return (step - w) / max(1, total - w)


def wave(share: float, cycles: float) -> float:
    """`cycles` periods of a cosine, from 1 at share 0; half a period ends at 0."""
    return 0.5 * (1.0 + math.cos(math.pi * cycles * 2.0 * share))


def linear(step: int, *, w: int, total: int) -> float:
    """1 after the warmup, 0 at the end."""
    return warmup(step, w) if step < w else max(0.0, (total - step) / max(1, total - w))


def cosine(step: int, *, w: int, total: int, num_cycles: float = 0.5) -> float:
    """Along a cosine; half a cycle goes from 1 to 0."""
    return warmup(step, w) if step < w else max(0.0, wave(progress(step, w, total), num_cycles))


def cosine_with_restarts(step: int, *, w: int, total: int, num_cycles: int = 1) -> float:
    """From 1 to 0 along half a cosine, `num_cycles` times."""
    if step < w:
        return warmup(step, w)
    share = progress(step, w, total)
    return 0.0 if share >= 1.0 else max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * share) % 1.0))))


def polynomial(step: int, *, w: int, total: int, end: float, start: float, power: float = 1.0) -> float:
    """From the rate `start` to the rate `end` as (1 - p) ** power, and `end` from there on."""
    if step < w:
        return warmup(step, w)
    if step > total:
        return end / start
    left = 1.0 - progress(step, w, total)
    return float(((start - end) * left**power + end) / start)


def constant(step: int) -> float:
    """1."""
    return 1.0


def constant_with_warmup(step: int, *, w: int) -> float:
    """1 after the warmup."""
    return step / max(1.0, w) if step < w else 1.0


def inverse_sqrt(step: int, *, w: int, timescale: int) -> float:
    """One over the square root of the steps since the warmup in units of `timescale`."""
    return warmup(step, w) if step < w else 1.0 / math.sqrt((step + timescale - w) / timescale)


def cosine_with_min_lr(step: int, *, w: int, total: int, floor: float, num_cycles: float = 0.5) -> float:
    """A cosine from 1 to `floor`."""
    if step < w:
        return warmup(step, w)
    return max(0.0, wave(progress(step, w, total), num_cycles) * (1.0 - floor) + floor)


def cosine_warmup_with_min_lr(
    step: int,
    *,
    w: int,
    total: int,
    floor: float,
    num_cycles: float = 0.5,
    warmup_lr_rate: float | None = None,
) -> float:
    """As `cosine_with_min_lr`, one step ahead, so that the first update already moves the weights.

    The warmup begins at `warmup_lr_rate`, 1/w if it is None.
    """
    if step < w:
        if warmup_lr_rate is None:
            return (step + 1.0) / max(1.0, w)
        return warmup_lr_rate + (1.0 - warmup_lr_rate) * step / max(1, w - 1)
    share = (step - w + 1.0) / max(1.0, total - w)
    return max(0.0, wave(share, num_cycles) * (1.0 - floor) + floor)


def warmup_stable_decay(
    step: int,
    *,
    w: int,
    stable: int,
    decay: int,
    floor: float = 0.0,
    warmup_type: Ramp = "linear",
    decay_type: Ramp = "cosine",
    num_cycles: float = 0.5,
) -> float:
    """From `floor` up to 1 in `w` steps, 1 for `stable` steps, and down to `floor` in `decay` steps."""
    if step < w:
        return max(0.0, _rise(warmup_type, step / max(1, w)) * (1.0 - floor) + floor)
    if step < w + stable:
        return 1.0
    if step < w + stable + decay:
        return max(
            0.0, _fall(decay_type, (step - w - stable) / max(1, decay), num_cycles) * (1.0 - floor) + floor
        )
    return floor


def _rise(kind: Ramp, share: float) -> float:
    match kind:
        case "linear":
            return share
        case "cosine":
            return 0.5 * (1.0 - math.cos(math.pi * share))
        case "1-sqrt":
            return 1.0 - math.sqrt(1.0 - share)


def _fall(kind: Ramp, share: float, cycles: float) -> float:
    match kind:
        case "linear":
            return 1.0 - share
        case "cosine":
            return wave(share, cycles)
        case "1-sqrt":
            return 1.0 - math.sqrt(share)


def make_schedule(
    name: str,
    optimizer: Optimizer,
    warmup_steps: int = 0,
    total_steps: int | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> Scheduler:
    """The schedule `name` over the learning rates of `optimizer`.

    `options` are what the peer calls `lr_scheduler_kwargs`, under the same names: num_cycles, power, lr_end,
    timescale, min_lr, min_lr_rate, warmup_lr_rate, num_decay_steps, num_stable_steps, min_lr_ratio, warmup_type,
    decay_type, and those of `ReduceLROnPlateau` and `GreedyLR`.

    Raises:
        ScheduleError: an unknown name or option, a missing one, or no `total_steps` where the form needs them.
    """
    read = _Options(name, dict(options or {}))
    if name not in SCHEDULES:
        raise ScheduleError(
            f"no learning-rate schedule is called {name!r}{suggest(name, SCHEDULES)}",
            fix=f"use one of: {', '.join(SCHEDULES)}",
        )
    if name == "reduce_lr_on_plateau":
        return _measured(name, ReduceLROnPlateau, optimizer, read.rest)
    if name == "greedy":
        return _measured(name, GreedyLR, optimizer, read.rest)
    factor = _factor(name, optimizer, warmup_steps, total_steps, read)
    read.finish()
    return LambdaLR(optimizer, factor)


def _factor(
    name: str, optimizer: Optimizer, w: int, total_steps: int | None, read: _Options
) -> Callable[[int], float]:
    start = float(optimizer.defaults["lr"])
    match name:
        case "constant":
            return constant
        case "constant_with_warmup":
            return partial(constant_with_warmup, w=w)
        case "inverse_sqrt":
            return partial(inverse_sqrt, w=w, timescale=int(read.number("timescale", w or 10_000)))
        case "warmup_stable_decay":
            return _stable(w, total_steps, read)
    if total_steps is None:
        raise ScheduleError(f"the schedule {name!r} needs the number of steps", fix="set max_steps")
    match name:
        case "linear":
            return partial(linear, w=w, total=total_steps)
        case "cosine":
            return partial(cosine, w=w, total=total_steps, num_cycles=read.number("num_cycles", 0.5))
        case "cosine_with_restarts":
            cycles = int(read.number("num_cycles", 1))
            return partial(cosine_with_restarts, w=w, total=total_steps, num_cycles=cycles)
        case "polynomial":
            end, power = read.number("lr_end", 1e-7), read.number("power", 1.0)
            if start <= end:
                raise ScheduleError(
                    f"polynomial decay from {start} cannot end at lr_end = {end}",
                    fix="set learning_rate above lr_end (lr_scheduler_kwargs)",
                )
            return partial(polynomial, w=w, total=total_steps, end=end, start=start, power=power)
    floor, cycles_ = read.floor(start), read.number("num_cycles", 0.5)
    if name == "cosine_with_min_lr":
        return partial(cosine_with_min_lr, w=w, total=total_steps, floor=floor, num_cycles=cycles_)
    begin = read.optional("warmup_lr_rate")
    return partial(
        cosine_warmup_with_min_lr,
        w=w,
        total=total_steps,
        floor=floor,
        num_cycles=cycles_,
        warmup_lr_rate=begin,
    )


def _stable(w: int, total_steps: int | None, read: _Options) -> Callable[[int], float]:
    decay = read.optional("num_decay_steps")
    if decay is None:
        raise ScheduleError(
            "the schedule 'warmup_stable_decay' needs num_decay_steps",
            fix='set lr_scheduler_kwargs={"num_decay_steps": N}',
        )
    stable = read.optional("num_stable_steps")
    if stable is None:
        if total_steps is None:
            raise ScheduleError(
                "the schedule 'warmup_stable_decay' needs num_stable_steps or the number of steps"
            )
        stable = total_steps - w - decay
    return partial(
        warmup_stable_decay,
        w=w,
        stable=int(stable),
        decay=int(decay),
        floor=read.number("min_lr_ratio", 0.0),
        warmup_type=read.ramp("warmup_type", "linear"),
        decay_type=read.ramp("decay_type", "cosine"),
        num_cycles=read.number("num_cycles", 0.5),
    )


def _measured(
    name: str,
    make: type[ReduceLROnPlateau] | type[GreedyLR],
    optimizer: Optimizer,
    options: Mapping[str, JsonValue],
) -> Scheduler:
    build: Callable[..., Scheduler] = make
    try:
        return build(optimizer, **options)
    except (TypeError, ValueError) as error:
        raise ScheduleError(f"the schedule {name!r}: {error}", fix="change lr_scheduler_kwargs") from error


class _Options:
    """The options of one schedule, taken out one by one, so that what is left over is unknown to it."""

    def __init__(self, schedule: str, rest: dict[str, JsonValue]) -> None:
        self.schedule = schedule
        self.rest = rest
        self._asked: list[str] = []

    def optional(self, name: str) -> float | None:
        self._asked.append(name)
        value = self.rest.pop(name, None)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise ScheduleError(f"the schedule {self.schedule!r} has {name} = {value!r}, expected a number")

    def number(self, name: str, default: float) -> float:
        value = self.optional(name)
        return default if value is None else value

    def ramp(self, name: str, default: Ramp) -> Ramp:
        self._asked.append(name)
        value = self.rest.pop(name, None) or default
        for known in RAMPS:
            if value == known:
                return known
        raise ScheduleError(f"{name} is {value!r}, expected one of {', '.join(RAMPS)}")

    def floor(self, start: float) -> float:
        rate, share = self.optional("min_lr"), self.optional("min_lr_rate")
        if rate is not None and share is None:
            return rate / start
        if share is not None and rate is None:
            return share
        raise ScheduleError(
            f"the schedule {self.schedule!r} needs exactly one of min_lr and min_lr_rate",
            fix='set, for example, lr_scheduler_kwargs={"min_lr_rate": 0.1}',
        )

    def finish(self) -> None:
        if self.rest:
            unknown, known = ", ".join(map(repr, self.rest)), ", ".join(self._asked) or "none"
            raise ScheduleError(
                f"the schedule {self.schedule!r} has no option {unknown}",
                fix=f"its options (lr_scheduler_kwargs) are: {known}",
            )
