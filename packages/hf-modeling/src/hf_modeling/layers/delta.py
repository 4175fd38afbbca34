"""Linear attention with decay: gated delta net, Kimi delta attention, lightning attention.

States are float32, and so is everything between the projections and the output gate.
B batch, T tokens, D width, N heads, K key features, V value features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.cache import Replace
from hf_modeling.layers.activation import PLAIN
from hf_modeling.layers.base import Layer, Linear, Mixer, parameter
from hf_modeling.layers.conv import CausalConv
from hf_modeling.layers.tidy import Tidy, recall, remember, tidied
from hf_modeling.recurrence import gated_delta, gated_delta_step, gated_linear, gated_linear_step

if TYPE_CHECKING:
    from hf_modeling.spec.linear import GatedDelta, KimiDelta, Lightning
    from hf_modeling.step import Step

EPS = 1e-6  # of the unit length of queries and keys, a constant of the method


@final
class GatedDeltaLayer(Mixer):
    """Gated delta net: convolution, delta rule with one decay per head, gated norm."""

    def __init__(self, spec: GatedDelta, norm: Layer, width: int, layer: int) -> None:
        super().__init__()
        keys, values = spec.key_heads * spec.key_dim, spec.value_heads * spec.value_dim
        self.in_proj_qkv = Linear(width, 2 * keys + values)
        self.in_proj_z = Linear(width, values)
        self.in_proj_b = Linear(width, spec.value_heads)
        self.in_proj_a = Linear(width, spec.value_heads)
        self.conv1d = CausalConv(2 * keys + values, spec.conv, bias=False, layer=layer)
        self.A_log = parameter(spec.value_heads)
        self.dt_bias = parameter(spec.value_heads)
        self.norm = norm
        self.out_proj = Linear(values, width)
        self.activation = PLAIN[spec.activation]
        self.split = [keys, keys, values]
        self.key_dim, self.value_dim = spec.key_dim, spec.value_dim
        self.repeats = spec.value_heads // spec.key_heads
        self.beta_scale = spec.beta_scale
        self.layer = layer
        state = Replace(shape=(spec.value_heads, spec.key_dim, spec.value_dim), dtype="float32")
        self.states = {"conv": self.conv1d.state, "state": state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        mixed = self.activation(self.conv1d(self.in_proj_qkv(x_BTD), step, tidy))
        q, k, v = mixed.split(self.split, dim=-1)
        q_BNTK = _unit(q.unflatten(-1, (-1, self.key_dim)).repeat_interleave(self.repeats, 2))
        k_BNTK = _unit(k.unflatten(-1, (-1, self.key_dim)).repeat_interleave(self.repeats, 2))
        v_BNTV = v.unflatten(-1, (-1, self.value_dim)).transpose(1, 2).float()
        decay_BTN = -self.A_log.float().exp() * F.softplus(self.in_proj_a(x_BTD).float() + self.dt_bias)
        beta_BTN = self.in_proj_b(x_BTD).sigmoid().float() * self.beta_scale
        o_BTNV = _delta(q_BNTK, k_BNTK, v_BNTV, decay_BTN, beta_BTN, step, tidy, self.layer).type_as(x_BTD)
        gate = F.silu(self.in_proj_z(x_BTD).float()).view(o_BTNV.shape)
        return self.out_proj((self.norm(o_BTNV) * gate).type_as(x_BTD).flatten(2))

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.dt_bias)
        nn.init.uniform_(self.A_log, 0.01, 16)
        with torch.no_grad():
            self.A_log.log_()


@final
class KimiDeltaLayer(Mixer):
    """Kimi delta attention: the delta rule with a decay for every key channel."""

    def __init__(self, spec: KimiDelta, norm: Layer, width: int, layer: int) -> None:
        super().__init__()
        inner = spec.heads * spec.head_dim
        self.in_proj_qkv = Linear(width, 3 * inner)
        self.conv1d = CausalConv(3 * inner, spec.conv, bias=False, layer=layer)
        self.f_proj = _projection(width, spec.rank, inner)
        self.g_proj = _projection(width, spec.rank, inner)
        self.b_proj = Linear(width, spec.heads)
        self.A_log = parameter(spec.heads)
        self.dt_bias = parameter(inner)
        self.o_norm = norm
        self.o_proj = Linear(inner, width)
        self.activation = PLAIN[spec.activation]
        self.heads, self.head_dim, self.lowest = spec.heads, spec.head_dim, spec.lowest
        self.layer = layer
        state = Replace(shape=(spec.heads, spec.head_dim, spec.head_dim), dtype="float32")
        self.states = {"conv": self.conv1d.state, "state": state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        mixed = self.activation(self.conv1d(self.in_proj_qkv(x_BTD), step, tidy))
        q, k, v = mixed.unflatten(-1, (3, self.heads, self.head_dim)).unbind(2)
        decay_BTNK = self._decay(
            (self.f_proj(x_BTD).float() + self.dt_bias.float()).unflatten(-1, q.shape[2:])
        )
        beta_BTN = self.b_proj(x_BTD).sigmoid().float()
        values = v.transpose(1, 2).float()
        o_BTNV = _delta(_unit(q), _unit(k), values, decay_BTNK, beta_BTN, step, tidy, self.layer)
        gate = self.g_proj(x_BTD).float().sigmoid().view(o_BTNV.shape)
        return self.o_proj((self.o_norm(o_BTNV) * gate).type_as(x_BTD).flatten(2))

    def _decay(self, f_BTNK: Tensor) -> Tensor:
        rate_N1 = self.A_log.float().exp().unsqueeze(-1)
        if self.lowest is None:
            return -rate_N1 * F.softplus(f_BTNK)
        return self.lowest * torch.sigmoid(rate_N1 * f_BTNK)

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.dt_bias)
        nn.init.uniform_(self.A_log, 1, 16)
        with torch.no_grad():
            self.A_log.log_()


@final
class LightningLayer(Mixer):
    """Linear attention with a constant decay per head, normalised and gated at the end."""

    rates: Tensor

    def __init__(self, spec: Lightning, norm: Layer, width: int, layer: int) -> None:
        super().__init__()
        heads = len(spec.rates)
        inner = heads * spec.head_dim
        self.qkv_proj = Linear(width, 3 * inner)
        self.output_gate = Linear(width, inner)
        self.norm = norm
        self.out_proj = Linear(inner, width)
        self.activation = PLAIN[spec.activation]
        self.heads, self.head_dim = heads, spec.head_dim
        self.layer = layer
        # A constant of the formula, computed from the spec: on the CPU even while parameters are on meta.
        self.register_buffer("rates", torch.tensor(spec.rates, device="cpu"), persistent=False)
        self.states = {"state": Replace(shape=(heads, spec.head_dim, spec.head_dim), dtype="float32")}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        qkv = self.activation(self.qkv_proj(x_BTD)).unflatten(-1, (self.heads, 3, self.head_dim)).float()
        q_BNTK, k_BNTK, v_BNTK = (part.transpose(1, 2) for part in qkv.unbind(3))
        decay_BNT = -self.rates.float()[None, :, None].expand(q_BNTK.shape[:3])
        if tidy is not None:
            decay_BNT = decay_BNT * tidy.real_BT.unsqueeze(1)
        state = recall(step, self.layer, "state")
        if step.new == 1 and state is not None:
            o, state = gated_linear_step(
                q_BNTK[:, :, 0], k_BNTK[:, :, 0], v_BNTK[:, :, 0], decay_BNT[..., 0], state
            )
            o_BNTK = o.unsqueeze(2)
        else:
            o_BNTK, state = gated_linear(q_BNTK, k_BNTK, v_BNTK, decay_BNT, state)
        remember(step, self.layer, "state", state)
        y_BTD = self.norm(o_BNTK.transpose(1, 2).flatten(2).type_as(x_BTD))
        return self.out_proj(self.output_gate(x_BTD).sigmoid() * y_BTD)


@final
class LowRank(Layer):
    """b(a(x)): a projection through few features."""

    def __init__(self, width: int, rank: int, inner: int) -> None:
        super().__init__()
        self.a_proj = Linear(width, rank)
        self.b_proj = Linear(rank, inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.b_proj(self.a_proj(x))


def _projection(width: int, rank: int | None, inner: int) -> LowRank | Linear:
    return Linear(width, inner) if rank is None else LowRank(width, rank, inner)


def _unit(x_BTNK: Tensor) -> Tensor:
    """Heads of length one, as (B, N, T, K) float32."""
    x_BNTK = x_BTNK.transpose(1, 2).float()
    return x_BNTK * torch.rsqrt(x_BNTK.square().sum(-1, keepdim=True) + EPS)


def _delta(
    q_BNTK: Tensor,
    k_BNTK: Tensor,
    v_BNTV: Tensor,
    decay_BTN: Tensor,
    beta_BTN: Tensor,
    step: Step,
    tidy: Tidy | None,
    layer: int,
) -> Tensor:
    """The delta rule from the layer's state on, as (B, T, N, V); padding neither writes nor fades."""
    q_BNTK = q_BNTK * q_BNTK.shape[-1] ** -0.5
    if tidy is not None:
        real_BT1 = tidy.real_BT.unsqueeze(-1)
        beta_BTN = beta_BTN * real_BT1
        decay_BTN = decay_BTN * (real_BT1 if decay_BTN.ndim == 3 else real_BT1.unsqueeze(-1))
    decay, beta_BNT = decay_BTN.transpose(1, 2), beta_BTN.transpose(1, 2)
    state = recall(step, layer, "state")
    if step.new == 1 and state is not None:
        one = (q_BNTK[:, :, 0], k_BNTK[:, :, 0], v_BNTV[:, :, 0], decay[:, :, 0], beta_BNT[:, :, 0])
        o_BNV, state = gated_delta_step(*one, state)
        o_BNTV = o_BNV.unsqueeze(2)
    else:
        o_BNTV, state = gated_delta(q_BNTK, k_BNTK, v_BNTV, decay, beta_BNT, state)
    remember(step, layer, "state", state)
    return o_BNTV.transpose(1, 2)
