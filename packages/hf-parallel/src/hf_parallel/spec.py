"""A parallel layout as a value: how many ways each axis splits the work over processes."""

from dataclasses import asdict, dataclass, fields
from typing import Literal, Self, get_args

from hf_config.errors import suggest
from hf_parallel.errors import LayoutError

Axis = Literal["pp", "dp_replicate", "dp_shard", "cp", "tp", "ep"]
AXES: tuple[Axis, ...] = get_args(Axis)
"""Outermost first: processes that talk least stand furthest apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelSpec:
    """How many ways each axis splits the work; 1 leaves the axis out.

    Attributes:
        pp: pipeline stages, each holding some of the layers.
        dp_replicate: copies of the model that see different data.
        dp_shard: ways in which one copy's parameters are sharded among processes that see different data.
        cp: ways in which each sequence is split.
        tp: ways in which each weight matrix is split.
        ep: ways in which experts are spread; they reuse the ranks of `dp_shard`, `cp` and `tp`.

    Raises:
        LayoutError: a degree is below one, or `ep` does not divide `dp_shard * cp * tp`.
    """

    pp: int = 1
    dp_replicate: int = 1
    dp_shard: int = 1
    cp: int = 1
    tp: int = 1
    ep: int = 1

    def __post_init__(self) -> None:
        for axis, degree in asdict(self).items():
            if degree < 1:
                raise LayoutError(
                    f"{axis}={degree}: a degree is 1 or more", fix=f"leave {axis} out, or {axis}=1"
                )
        inner = self.dp_shard * self.cp * self.tp
        if inner % self.ep:
            raise LayoutError(
                f"ep={self.ep} does not divide dp_shard * cp * tp = {inner}, the ranks that hold experts",
                fix=f"choose ep among {', '.join(str(n) for n in range(1, inner + 1) if inner % n == 0)}",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The layout written as `dp_shard=2,tp=2`; empty text is one process.

        Raises:
            LayoutError: an entry is not `AXIS=NUMBER`, names an unknown axis, or names one twice.
        """
        degrees: dict[str, int] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            axis, _, number = (part.strip() for part in entry.partition("="))
            if axis not in AXES:
                raise LayoutError(
                    f"layout {text!r}: no axis is called {axis!r}{suggest(axis, AXES)}",
                    fix=f"use {', '.join(AXES)}",
                )
            if not number.isdecimal():
                raise LayoutError(f"layout {text!r}: {entry!r} gives no number", fix=f"write {axis}=2")
            if axis in degrees:
                raise LayoutError(f"layout {text!r}: {axis} is given twice", fix="give each axis once")
            degrees[axis] = int(number)
        return cls(**degrees)

    @property
    def world_size(self) -> int:
        """How many processes the layout takes; `ep` adds none."""
        return self.pp * self.dp_replicate * self.dp_shard * self.cp * self.tp

    def __str__(self) -> str:
        degrees = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ",".join(f"{axis}={degree}" for axis, degree in degrees if degree > 1)
