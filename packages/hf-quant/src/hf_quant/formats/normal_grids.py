"""Points that represent a normal distribution best: the grids of HIGGS.

Lloyd's algorithm ("Least squares quantization in PCM", 1982) on the density itself: along a line with the integrals
of the normal distribution, in the plane with a fine mesh of weighted samples. The result is the same on every
machine to rounding; checkpoints bring the grid they were made with.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import erf, exp, pi, sqrt

import torch
from torch import Tensor

_LINE_STEPS = 2000
_PLANE_STEPS = 50
_MESH = 121
_EDGE = 4.5  # standard deviations; what lies beyond weighs less than 1e-5
_GOLDEN_ANGLE = pi * (3 - sqrt(5))


@cache
def normal_grid(dimensions: int, points: int) -> Tensor:
    """float32 (points, dimensions), for one dimension or two."""
    return _on_a_line(points) if dimensions == 1 else _in_the_plane(points)


def _on_a_line(points: int) -> Tensor:
    levels = [4.0 * (i + 0.5) / points - 2.0 for i in range(points)]
    for _ in range(_LINE_STEPS):
        edges = [-40.0, *((a + b) / 2 for a, b in pairwise(levels)), 40.0]
        # The mean of a standard normal variable between a and b.
        levels = [(_density(a) - _density(b)) / (_below(b) - _below(a)) for a, b in pairwise(edges)]
    return torch.tensor(levels, dtype=torch.float32, device="cpu")[:, None]


def _density(x: float) -> float:
    return exp(-x * x / 2) / sqrt(2 * pi)


def _below(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


def _in_the_plane(points: int) -> Tensor:
    axis = torch.linspace(-_EDGE, _EDGE, _MESH, dtype=torch.float64, device="cpu")
    mesh = torch.cartesian_prod(axis, axis)
    weight = torch.exp(-mesh.square().sum(1) / 2)
    # A sunflower: even in angle and, by the inverse of the radius' distribution widened, in density.
    order = torch.arange(points, dtype=torch.float64, device="cpu") + 0.5
    radius = torch.sqrt(-4 * torch.log1p(-order / points * (1 - exp(-(_EDGE**2) / 6))))
    angle = order * _GOLDEN_ANGLE
    grid = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    for _ in range(_PLANE_STEPS):
        # Single precision finds the nearest point soon enough; what is summed up stays double.
        near = grid.float()
        nearest = (mesh.float() @ near.T - near.square().sum(1) / 2).argmax(1)
        mass = torch.zeros(points, dtype=torch.float64, device="cpu").index_add_(0, nearest, weight)
        moment = torch.zeros_like(grid).index_add_(0, nearest, mesh * weight[:, None])
        grid = torch.where(mass[:, None] > 0, moment / mass[:, None].clamp(min=1e-300), grid)
    return grid.float()
