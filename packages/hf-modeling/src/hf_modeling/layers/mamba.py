"""Selective state spaces: Mamba, Mamba-2, and the RG-LRU of Griffin.

States are float32, and so is everything between the projections and the output gate.
B batch, T tokens, D width, I inner channels, S numbers of a channel's state, N heads, P channels of a head,
G groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.cache import Replace
from hf_modeling.layers.activation import PLAIN
from hf_modeling.layers.base import Identity, Layer, Linear, Mixer, parameter
from hf_modeling.layers.conv import CausalConv
from hf_modeling.layers.tidy import Tidy, recall, remember, tidied
from hf_modeling.recurrence import elementwise_scan, gated_linear, gated_linear_step, selective_scan

if TYPE_CHECKING:
    from hf_modeling.spec.linear import Mamba1, Mamba2, RgLru
    from hf_modeling.step import Step

RG_LRU_RATE = 8.0  # the constant c of Griffin, section 2.4


@final
class Mamba1Layer(Mixer):
    """Selective scan with a decay for every number of every channel's state."""

    def __init__(
        self, spec: Mamba1, norms: tuple[Layer, Layer, Layer] | None, width: int, layer: int
    ) -> None:
        super().__init__()
        self.in_proj = Linear(width, 2 * spec.inner, bias=spec.bias)
        self.conv1d = CausalConv(spec.inner, spec.conv, bias=spec.conv_bias, layer=layer)
        self.x_proj = Linear(spec.inner, spec.rank + 2 * spec.state)
        self.dt_proj = Linear(spec.rank, spec.inner, bias=True)
        self.dt_layernorm, self.b_layernorm, self.c_layernorm = norms or (Identity(), Identity(), Identity())
        self.A_log = parameter(spec.inner, spec.state)
        self.D = parameter(spec.inner)
        self.out_proj = Linear(spec.inner, width, bias=spec.bias)
        self.activation = PLAIN[spec.activation]
        self.split = [spec.rank, spec.state, spec.state]
        self.layer = layer
        state = Replace(shape=(spec.inner, spec.state), dtype="float32")
        self.states = {"conv": self.conv1d.state, "state": state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        x_BTI, z_BTI = self.in_proj(x_BTD).chunk(2, dim=-1)
        x_BTI = self.activation(self.conv1d(x_BTI, step, tidy))
        dt, b, c = self.x_proj(x_BTI).split(self.split, dim=-1)
        dt_BTI = F.softplus(self.dt_proj(self.dt_layernorm(dt)).float())
        if tidy is not None:
            dt_BTI = dt_BTI * tidy.real_BT.unsqueeze(-1)  # a step of no length changes no state
        b_BTS, c_BTS = self.b_layernorm(b).float(), self.c_layernorm(c).float()
        rate_IS = -self.A_log.float().exp()
        wide = x_BTI.float()
        y_BTI, state = selective_scan(wide, dt_BTI, rate_IS, b_BTS, c_BTS, recall(step, self.layer, "state"))
        remember(step, self.layer, "state", state)
        y_BTI = (y_BTI + wide * self.D.float()) * self.activation(z_BTI.float())
        return self.out_proj(y_BTI.type_as(x_BTD))

    def init_weights(self, std: float) -> None:
        """Decay rates 1, 2, ..., S and a skip of one (arXiv 2312.00752, section 3.6)."""
        rates = torch.arange(1, self.A_log.shape[1] + 1, dtype=torch.float32, device=self.A_log.device)
        with torch.no_grad():
            self.A_log.copy_(rates.log().expand_as(self.A_log))
        nn.init.ones_(self.D)


@final
class Mamba2Layer(Mixer):
    """State space duality: one decay per head, so that chunks are matrix products."""

    multipliers: Tensor | None

    def __init__(self, spec: Mamba2, norm: Layer | None, width: int, layer: int) -> None:
        super().__init__()
        inner, maps = spec.heads * spec.head_dim, spec.groups * spec.state
        self.in_proj = Linear(width, 2 * inner + 2 * maps + spec.heads, bias=spec.bias)
        self.conv1d = CausalConv(inner + 2 * maps, spec.conv, bias=spec.conv_bias, layer=layer)
        self.dt_bias = parameter(spec.heads)
        self.A_log = parameter(spec.heads)
        self.D = parameter(spec.heads)
        self.norm = None if norm is None else GroupedGatedNorm(norm, inner, spec)
        self.out_proj = Linear(inner, width, bias=spec.output_bias)
        self.activation = PLAIN[spec.activation]
        self.parts = [inner, inner + 2 * maps, spec.heads]
        self.convolved = [inner, maps, maps]
        self.head_dim, self.groups, self.state = spec.head_dim, spec.groups, spec.state
        self.repeats = spec.heads // spec.groups
        self.limits = spec.step_limits
        self.input_multiplier, self.output_multiplier = spec.input_multiplier, spec.output_multiplier
        self.layer = layer
        widths = torch.tensor([inner, inner, maps, maps, spec.heads], device="cpu")
        scales = None
        if spec.multipliers is not None:
            scales = torch.tensor(spec.multipliers, device="cpu").repeat_interleave(widths)
        self.register_buffer("multipliers", scales, persistent=False)
        state = Replace(shape=(spec.heads, spec.state, spec.head_dim), dtype="float32")
        self.states = {"conv": self.conv1d.state, "state": state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        projected = self.in_proj(x_BTD * self.input_multiplier)
        if self.multipliers is not None:
            projected = projected * self.multipliers.type_as(projected)
        z_BTI, convolved, dt = projected.split(self.parts, dim=-1)
        convolved = self.activation(self.conv1d(convolved, step, tidy)).float()
        x, b, c = convolved.split(self.convolved, dim=-1)
        x_BNTP = x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        b_BNTS, c_BNTS = self._by_head(b), self._by_head(c)
        dt_BTN = F.softplus(dt.float() + self.dt_bias.float()).clamp(*self.limits)
        if tidy is not None:
            dt_BTN = dt_BTN * tidy.real_BT.unsqueeze(-1)  # a step of no length changes no state
        dt_BNT = dt_BTN.transpose(1, 2)
        decay_BNT = -self.A_log.float().exp()[:, None] * dt_BNT
        y_BNTP = self._scan(c_BNTS, b_BNTS, x_BNTP * dt_BNT.unsqueeze(-1), decay_BNT, step)
        y_BNTP = y_BNTP + x_BNTP * self.D.float()[:, None, None]
        y_BTI = y_BNTP.transpose(1, 2).flatten(2)
        if self.norm is None:
            y_BTI = y_BTI * F.silu(z_BTI.float())
        else:
            y_BTI = self.norm(y_BTI.type_as(x_BTD), z_BTI)
        return self.out_proj(y_BTI.type_as(x_BTD)) * self.output_multiplier

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, G * S) as (B, N, T, S): heads of one group share it."""
        grouped = x.view(*x.shape[:-1], self.groups, self.state).transpose(1, 2)
        return grouped.repeat_interleave(self.repeats, dim=1)

    def _scan(self, q: Tensor, k: Tensor, v: Tensor, decay_BNT: Tensor, step: Step) -> Tensor:
        state = recall(step, self.layer, "state")
        if step.new == 1 and state is not None:
            o, state = gated_linear_step(q[:, :, 0], k[:, :, 0], v[:, :, 0], decay_BNT[..., 0], state)
            o_BNTP = o.unsqueeze(2)
        else:
            o_BNTP, state = gated_linear(q, k, v, decay_BNT, state)
        remember(step, self.layer, "state", state)
        return o_BNTP

    def init_weights(self, std: float) -> None:
        """Decay rates 1, 2, ..., N, a skip of one and steps of softplus(1)."""
        rates = torch.arange(1, self.A_log.shape[0] + 1, dtype=torch.float32, device=self.A_log.device)
        with torch.no_grad():
            self.A_log.copy_(rates.log())
        nn.init.ones_(self.D)
        nn.init.ones_(self.dt_bias)


@final
class GroupedGatedNorm(nn.Module):
    """norm(y * silu(z)), or norm(y) * silu(z), over equal groups of channels, one weight each."""

    def __init__(self, norm: Layer, channels: int, spec: Mamba2) -> None:
        super().__init__()
        self.weight = parameter(channels)
        self.norm = norm
        self.groups = spec.norm_groups
        self.first = spec.norm_first

    if TYPE_CHECKING:

        def __call__(self, y_BTI: Tensor, z_BTI: Tensor) -> Tensor: ...

    def forward(self, y_BTI: Tensor, z_BTI: Tensor) -> Tensor:
        gate_BTI = F.silu(z_BTI.float())
        y = y_BTI.float() if self.first else y_BTI.float() * gate_BTI
        normed = self.norm(y.unflatten(-1, (self.groups, -1))).flatten(-2) * self.weight.float()
        return (normed * gate_BTI if self.first else normed).type_as(y_BTI)

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.weight)


@final
class RgLruLayer(Mixer):
    """A gated recurrence per channel between a convolution and a multiplicative branch."""

    def __init__(self, spec: RgLru, width: int, layer: int) -> None:
        super().__init__()
        self.linear_y = Linear(width, spec.inner, bias=True)
        self.linear_x = Linear(width, spec.inner, bias=True)
        self.conv_1d = CausalConv(spec.inner, spec.conv, bias=True, layer=layer)
        self.rg_lru = RgLruGates(spec.inner, spec.heads)
        self.linear_out = Linear(spec.inner, width, bias=True)
        self.activation = PLAIN[spec.activation]
        self.layer = layer
        self.states = {"conv": self.conv_1d.state, "state": Replace(shape=(spec.inner,), dtype="float32")}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        x_BTI = self.linear_x(x_BTD)
        if tidy is not None:
            x_BTI = x_BTI * tidy.real_BT.unsqueeze(-1)
        x_BTI = self.conv_1d(x_BTI, step, tidy)
        state = recall(step, self.layer, "state")
        kept_BTI, added_BTI = self.rg_lru(x_BTI, first=state is None)
        if tidy is not None:
            padding_BT1 = ~tidy.real_BT.unsqueeze(-1)
            kept_BTI = kept_BTI.masked_fill(padding_BT1, 1.0)
            added_BTI = added_BTI.masked_fill(padding_BT1, 0.0)
        h_BTI, state = elementwise_scan(kept_BTI, added_BTI, state)
        remember(step, self.layer, "state", state)
        return self.linear_out(h_BTI.type_as(x_BTD) * self.activation(self.linear_y(x_BTD)))


@final
class RgLruGates(nn.Module):
    """Input and recurrence gates, block-diagonal over heads, and the recurrence they make."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        block = channels // heads
        self.recurrent_param = parameter(channels)
        self.input_gate_weight = parameter(heads, block, block)
        self.input_gate_bias = parameter(heads, block)
        self.recurrent_gate_weight = parameter(heads, block, block)
        self.recurrent_gate_bias = parameter(heads, block)
        self.heads = heads

    if TYPE_CHECKING:

        def __call__(self, x_BTI: Tensor, *, first: bool) -> tuple[Tensor, Tensor]: ...

    def forward(self, x_BTI: Tensor, *, first: bool) -> tuple[Tensor, Tensor]:
        """What is kept and what is added at each position; `first` when position 0 starts the sequence."""
        blocks = x_BTI.unflatten(-1, (self.heads, -1))
        written = torch.einsum("btnp,npq->btnq", blocks, self.input_gate_weight) + self.input_gate_bias
        kept = torch.einsum("btnp,npq->btnq", blocks, self.recurrent_gate_weight) + self.recurrent_gate_bias
        rate_BTI = kept.sigmoid().flatten(2) * F.softplus(self.recurrent_param)
        log_kept = -RG_LRU_RATE * rate_BTI.float()
        scale_BTI = torch.sqrt(-torch.expm1(2 * log_kept))
        if first:
            scale_BTI = torch.cat([torch.ones_like(scale_BTI[:, :1]), scale_BTI[:, 1:]], dim=1)
        gated = x_BTI * written.sigmoid().flatten(2)
        return log_kept.exp(), (gated * scale_BTI.type_as(gated)).float()

    def init_weights(self, std: float) -> None:
        """Decays spread so that a^(1/8) lies in [0.9, 0.999] (Griffin, section 2.4), gates near one half."""
        nn.init.normal_(self.input_gate_weight, std=std)
        nn.init.normal_(self.recurrent_gate_weight, std=std)
        nn.init.zeros_(self.input_gate_bias)
        nn.init.zeros_(self.recurrent_gate_bias)
        nn.init.uniform_(self.recurrent_param, 0.9**2, 0.999**2)
        with torch.no_grad():
            self.recurrent_param.log_().mul_(-0.5).expm1_().log_()
