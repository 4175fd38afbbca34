"""The machines a run is planned for: accelerators with their data sheets' numbers, and how they are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hf_config.errors import suggest
from hf_hub_io.errors import HfError

GIB = 1 << 30


class UnknownAcceleratorError(HfError, LookupError):
    """An accelerator whose numbers are not known here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """One device.

    Attributes:
        memory: bytes a process can use.
        flops: peak operations a second by element type, without sparsity.
        hbm: bytes a second between its memory and its cores.
        intra: bytes a second and direction to neighbours in the same node.
        efficiency: the share of the peak that long matrix products of a transformer reach.
    """

    memory: float
    flops: Mapping[str, float]
    hbm: float
    intra: float
    efficiency: float = 0.37

    def peak(self, dtype: str) -> float:
        """Operations a second in `dtype`; those of float32 where it has no units for it."""
        return self.flops.get(dtype, self.flops["float32"])


# Vendors' data sheets: dense tensor-core rates; links in one direction. The efficiency is what a published
# training run of an 8B model on 8 H100 reached (torchtitan, docs/performance.md), which the tests compare with.
ACCELERATORS: Mapping[str, Accelerator] = {
    "a100-40": Accelerator(
        memory=39 * GIB, flops={"bfloat16": 312e12, "float32": 19.5e12}, hbm=1.56e12, intra=300e9
    ),
    "a100": Accelerator(
        memory=79 * GIB, flops={"bfloat16": 312e12, "float32": 19.5e12}, hbm=2.0e12, intra=300e9
    ),
    "h100": Accelerator(
        memory=79 * GIB, flops={"bfloat16": 989e12, "float32": 67e12}, hbm=3.35e12, intra=450e9
    ),
    "h200": Accelerator(
        memory=139 * GIB, flops={"bfloat16": 989e12, "float32": 67e12}, hbm=4.8e12, intra=450e9
    ),
    "b200": Accelerator(
        memory=178 * GIB, flops={"bfloat16": 2250e12, "float32": 75e12}, hbm=8.0e12, intra=900e9
    ),
    "l40s": Accelerator(
        memory=47 * GIB, flops={"bfloat16": 362e12, "float32": 91e12}, hbm=0.86e12, intra=32e9
    ),
    "rtx4090": Accelerator(
        memory=23 * GIB, flops={"bfloat16": 165e12, "float32": 83e12}, hbm=1.0e12, intra=32e9
    ),
    "mi300x": Accelerator(
        memory=190 * GIB, flops={"bfloat16": 1307e12, "float32": 163e12}, hbm=5.3e12, intra=448e9
    ),
    "cpu": Accelerator(
        memory=16 * GIB, flops={"bfloat16": 2e11, "float32": 1e11}, hbm=2e10, intra=5e9, efficiency=0.6
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """`devices` accelerators, `node` of them joined by the fast link, nodes by `inter` bytes a second a device.

    `latency`: seconds that one step of a collective takes at least.
    """

    devices: int
    accelerator: Accelerator
    node: int = 8
    inter: float = 50e9
    latency: float = 10e-6

    def __post_init__(self) -> None:
        for name in ("devices", "node"):
            if (count := getattr(self, name)) < 1:
                raise ValueError(f"{name}={count}: a cluster has at least one")

    def bandwidth(self, span: int) -> float:
        """Bytes a second and device of a group whose ranks lie within `span` neighbouring devices."""
        return self.accelerator.intra if span <= self.node else self.inter

    def seconds(self, wire_bytes: float, ranks: int, span: int) -> float:
        """How long a collective among `ranks` takes in which each sends `wire_bytes`: alpha-beta model."""
        if ranks <= 1:
            return 0.0
        return (ranks - 1) * self.latency + wire_bytes / self.bandwidth(span)


def cluster(devices: int, kind: str, *, node: int = 8, inter: float = 50e9) -> Cluster:
    """A cluster of accelerators known by name. Raises UnknownAcceleratorError."""
    known = ACCELERATORS.get(kind.lower())
    if known is None:
        raise UnknownAcceleratorError(
            f"no accelerator is called {kind!r}{suggest(kind.lower(), ACCELERATORS)}",
            fix=f"use one of {', '.join(ACCELERATORS)}",
        )
    return Cluster(devices=devices, accelerator=known, node=node, inter=inter)
