"""Rotary position embeddings (arXiv 2104.09864) and the ways their frequencies are stretched.

A rotation is x * cos + swap(x) * sin, where `swap` exchanges the two features of each pair and the table's
sine already carries the sign. Tables are computed once for a range of positions and shared by all layers,
steps and threads; a step whose rows all start at one position takes a slice of them.

B batch, T tokens, N heads, H features of a head, P positions in a table, J = dim / 2 frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, assert_never, final

import torch
from torch import Tensor

from hf_modeling.spec import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    NtkAlphaScaling,
    ProportionalScaling,
    Rope,
    YarnScaling,
)

if TYPE_CHECKING:
    from hf_modeling.step import Step

Table = tuple[Tensor, Tensor]
"""cos and signed sin, (..., 1, dim), in the dtype the rotation is computed in."""

FIRST_TABLE = 2048
"""Positions in the first table that is made; later ones double."""


@final
class Rotary:
    """Turns heads by their positions. One is made for each distinct `Rope` of a model and shared by layers."""

    def __init__(self, spec: Rope) -> None:
        self.dim = spec.dim
        self.wide = spec.apply == "float32"
        self.trained = trained_length(spec)
        self.continuous = isinstance(spec.scaling, DynamicScaling)
        self.interleaved = spec.layout == "interleaved"
        self.swap: Callable[[Tensor], Tensor] = swap_neighbours
        if not self.interleaved:
            self.swap = partial(torch.roll, shifts=spec.dim // 2, dims=-1)
        self.spec = spec
        self._tables: dict[tuple[torch.dtype, torch.device, bool], Table] = {}

    def rotate(self, x_BTNH: Tensor, step: Step) -> Tensor:
        """Heads with their first `dim` features turned by the step's positions.

        The step keeps cos and sin, (T, 1, dim) or (B, T, 1, dim), which serve every layer with this rotation.
        """
        turn = step.rotations.get(self)
        if turn is None:
            dtype, device = torch.float32 if self.wide else x_BTNH.dtype, x_BTNH.device
            longest = step.longest() if self.trained else 0
            beyond = longest > self.trained
            if beyond and self.continuous:
                turn = self._make(step.positions_BT, longest, dtype)
            else:
                bound = step.longest() if step.bound is None else step.bound
                table = self._tables.get((dtype, device, beyond))
                if table is None or table[0].shape[0] < bound:
                    table = self.reserve(bound, dtype, device, beyond=beyond)
                place = step.positions_BT if step.offset is None else slice(step.offset, bound)
                turn = table[0][place], table[1][place]
            step.rotations[self] = turn
        cos, sin = turn
        x = x_BTNH.float() if self.wide else x_BTNH
        if x.shape[-1] == self.dim:
            turned = torch.addcmul(x * cos, self.swap(x), sin)
        else:
            part, rest = x[..., : self.dim], x[..., self.dim :]
            turned = torch.cat((torch.addcmul(part * cos, self.swap(part), sin), rest), dim=-1)
        return turned.type_as(x_BTNH) if self.wide else turned

    def reserve(
        self, positions: int, dtype: torch.dtype, device: torch.device, *, beyond: bool = False
    ) -> Table:
        """A table of at least `positions` positions; making it early spares later steps the wait.

        `beyond`: with the frequencies for texts longer than the trained length.
        """
        rows = max(FIRST_TABLE, 1 << (positions - 1).bit_length())
        # Made outside inference mode, so that training may use what inference made.
        with torch.inference_mode(False), torch.no_grad():
            every_P = torch.arange(rows, device=device)
            table = self._make(every_P, self.trained + int(beyond), dtype)
        self._tables[dtype, device, beyond] = table
        return table

    def _make(self, positions: Tensor, length: int, dtype: torch.dtype) -> Table:
        frequencies_J, attention_factor = frequencies(self.spec, length)
        angles = positions[..., None].float() * frequencies_J.to(positions.device)
        cos = angles.cos() * attention_factor
        sin = angles.sin() * (attention_factor * self.spec.direction)
        if self.interleaved:
            cos = torch.stack((cos, cos), dim=-1).flatten(-2)
            sin = torch.stack((-sin, sin), dim=-1).flatten(-2)
        else:
            cos = torch.cat((cos, cos), dim=-1)
            sin = torch.cat((-sin, sin), dim=-1)
        return cos.unsqueeze(-2).to(dtype), sin.unsqueeze(-2).to(dtype)


def swap_neighbours(x: Tensor) -> Tensor:
    """Features 2j and 2j + 1 exchanged."""
    return x.reshape(*x.shape[:-1], -1, 2).flip(-1).flatten(-2)


def trained_length(spec: Rope) -> int:
    """The length beyond which frequencies change with the text's length; 0 if they never do."""
    match spec.scaling:
        case DynamicScaling(max_positions=length) | LongRopeScaling(original_positions=length):
            return length
        case _:
            return 0


def frequencies(spec: Rope, length: int) -> tuple[Tensor, float]:
    """Angle per position of each pair, (J,) float32 on CPU, and the factor on cos and sin.

    `length` is the longest position plus one; only dynamic and long rope depend on it.
    """
    scaling = spec.scaling
    match scaling:
        case None:
            return _inverse(spec.theta, spec.dim), 1.0
        case LinearScaling(factor=factor):
            return _inverse(spec.theta, spec.dim) / factor, 1.0
        case DynamicScaling(factor=factor, max_positions=most):
            stretch = factor * max(length, most) / most - (factor - 1)
            return _inverse(spec.theta * stretch ** (spec.dim / (spec.dim - 2)), spec.dim), 1.0
        case NtkAlphaScaling(alpha=alpha):
            return _inverse(spec.theta * alpha ** (spec.dim / (spec.dim - 2)), spec.dim), 1.0
        case YarnScaling():
            return _yarn(spec, scaling), scaling.attention_factor
        case LongRopeScaling():
            beyond = length > scaling.original_positions
            divisors = torch.tensor(scaling.long if beyond else scaling.short, device="cpu")
            factor = scaling.long_attention_factor if beyond else scaling.short_attention_factor
            return 1.0 / (divisors * _powers(spec.theta, spec.dim)), factor
        case Llama3Scaling():
            return _llama3(spec, scaling), 1.0
        case ProportionalScaling(rotated_dim=rotated, factor=factor):
            turning = _inverse(spec.theta, spec.dim)[: rotated // 2]
            still = torch.zeros(spec.dim // 2 - rotated // 2, device="cpu")
            return torch.cat((turning, still)) / factor, 1.0
        case _:
            assert_never(scaling)


def _powers(theta: float, dim: int) -> Tensor:
    return theta ** (torch.arange(0, dim, 2, dtype=torch.float32, device="cpu") / dim)


def _inverse(theta: float, dim: int) -> Tensor:
    return 1.0 / _powers(theta, dim)


def _yarn(spec: Rope, scaling: YarnScaling) -> Tensor:
    """Ramp between kept and divided frequencies by how often a pair turns in the trained length."""

    def pair_turning(times: float) -> float:
        ratio = scaling.original_positions / (times * 2 * math.pi)
        return spec.dim * math.log(ratio) / (2 * math.log(spec.theta))

    low, high = pair_turning(scaling.beta_fast), pair_turning(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, spec.dim - 1)
    if low == high:
        high += 0.001  # a step instead of a ramp, without dividing by zero
    ramp = ((torch.arange(spec.dim // 2, dtype=torch.float32, device="cpu") - low) / (high - low)).clamp(0, 1)
    powers = _powers(spec.theta, spec.dim)
    kept = 1 - ramp
    return 1.0 / (scaling.factor * powers) * (1 - kept) + 1.0 / powers * kept


def _llama3(spec: Rope, scaling: Llama3Scaling) -> Tensor:
    """Long wavelengths divided, short ones kept, those between blended by where they lie."""
    inverse = _inverse(spec.theta, spec.dim)
    wavelength = 2 * math.pi / inverse
    blend = (scaling.original_positions / wavelength - scaling.low) / (scaling.high - scaling.low)
    blended = (1 - blend) * inverse / scaling.factor + blend * inverse
    result = torch.where(
        wavelength > scaling.original_positions / scaling.low, inverse / scaling.factor, blended
    )
    return torch.where(wavelength < scaling.original_positions / scaling.high, inverse, result)
