"""Mixers of single families: differential and mixture of attention, RWKV-4, xLSTM, a parallel pair.

B batch, T tokens, D width, N heads, K key heads, H features of a head, E experts, A experts per token,
I inner channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.cache import Append, Replace, State
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Layer, Linear, Mixer, StepLayer, parameter
from hf_modeling.layers.moe import grouped_linear
from hf_modeling.layers.norm import LayerNormLayer
from hf_modeling.layers.rope import Rotary
from hf_modeling.layers.tidy import Tidy, recall, remember, tidied
from hf_modeling.recurrence import MlstmState, WkvState, mlstm, mlstm_step, wkv

if TYPE_CHECKING:
    from hf_modeling.spec.special import DifferentialAttention, MixtureOfAttention, Mlstm
    from hf_modeling.step import Step


@final
class DifferentialAttentionLayer(Mixer):
    """One attention minus a trained share of another, so that what both attend to cancels.

    Values are halved by heads and read by all queries; a pair of output heads lies side by side.
    """

    scoring: Scoring

    def __init__(
        self,
        spec: DifferentialAttention,
        norm: Layer,
        rotary: Rotary,
        scoring: Scoring,
        width: int,
        layer: int,
    ) -> None:
        super().__init__()
        self.q_proj = Linear(width, spec.heads * spec.head_dim, bias=spec.bias)
        self.k_proj = Linear(width, spec.kv_heads * spec.head_dim, bias=spec.bias)
        self.v_proj = Linear(width, spec.kv_heads * spec.head_dim, bias=spec.bias)
        self.o_proj = Linear(spec.heads * spec.head_dim, width, bias=spec.bias)
        self.lambda_q1, self.lambda_k1 = parameter(spec.head_dim), parameter(spec.head_dim)
        self.lambda_q2, self.lambda_k2 = parameter(spec.head_dim), parameter(spec.head_dim)
        self.groupnorm = norm
        self.rotary, self.scoring, self.layer = rotary, scoring, layer
        self.heads, self.kv_heads, self.start = spec.heads, spec.kv_heads, spec.start
        kept = Append(heads=spec.kv_heads, features=spec.head_dim)
        self.states = {"key": kept, "value": kept}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BTNH = self.rotary.rotate(self.q_proj(x_BTD).view(B, T, self.heads, -1), step)
        k_BTKH = self.rotary.rotate(self.k_proj(x_BTD).view(B, T, self.kv_heads, -1), step)
        k_BKSH = k_BTKH.transpose(1, 2)
        v_BKSH = self.v_proj(x_BTD).view(B, T, self.kv_heads, -1).transpose(1, 2)
        if step.cache is not None:
            k_BKSH = step.cache.extend(self.layer, "key", k_BKSH)
            v_BKSH = step.cache.extend(self.layer, "value", v_BKSH)
        # Values of both halves side by side: one attention reads what the paper's two would.
        first, second = v_BKSH.chunk(2, dim=1)
        pairs = torch.cat((first, second), dim=-1).repeat(1, 2, 1, 1)
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        mask, q_BNTH = step.mask(scoring.rule), q_BTNH.transpose(1, 2)
        mixed = attend(q_BNTH, k_BKSH, pairs, mask, None, None, dropout).transpose(1, 2)
        one, other = mixed.chunk(2, dim=2)
        share = (
            (self.lambda_q1 * self.lambda_k1).float().sum().exp()
            - (self.lambda_q2 * self.lambda_k2).float().sum().exp()
            + self.start
        )
        difference = self.groupnorm(one - share.type_as(one) * other) * (1 - self.start)
        return self.o_proj(difference.reshape(B, T, -1))

    def init_weights(self, std: float) -> None:
        for weight in (self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2):
            nn.init.normal_(weight, std=0.1)  # the paper's


@final
class MixtureOfAttentionLayer(Mixer):
    """Chosen experts project queries and outputs; keys and values are shared by all."""

    scoring: Scoring

    def __init__(
        self, spec: MixtureOfAttention, rotary: Rotary, scoring: Scoring, width: int, layer: int
    ) -> None:
        super().__init__()
        inner = spec.kv_heads * spec.head_dim
        self.router = Linear(width, spec.count)
        self.input_proj = parameter(spec.count, inner, width)
        self.output_proj = parameter(spec.count, width, inner)
        self.bias = parameter(width)
        self.kv_proj = Linear(width, 2 * inner)
        self.rotary, self.scoring, self.layer = rotary, scoring, layer
        self.count, self.top_k, self.kv_heads = spec.count, spec.top_k, spec.kv_heads
        kept = Append(heads=spec.kv_heads, features=spec.head_dim)
        self.states = {"key": kept, "value": kept}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        B, T, D = x_BTD.shape
        x_MD = x_BTD.reshape(-1, D)
        logits_MA, experts_MA = self.router(x_MD).float().topk(self.top_k, dim=-1)
        expert_R, order_R = experts_MA.flatten().sort(stable=True)
        ends_E = torch.bincount(expert_R, minlength=self.count).cumsum(0)
        made = grouped_linear(x_MD[order_R // self.top_k], self.input_proj, None, expert_R, ends_E)
        q_MAI = torch.empty_like(made).index_copy(0, order_R, made)
        # Key heads outermost, so that the experts' queries of one key head lie side by side.
        q_BTNH = q_MAI.view(B, T, self.top_k, self.kv_heads, -1).transpose(2, 3).flatten(2, 3)
        k_BTI, v_BTI = self.kv_proj(x_BTD).chunk(2, dim=-1)
        k_BKSH = self.rotary.rotate(k_BTI.reshape(B, T, self.kv_heads, -1), step).transpose(1, 2)
        v_BKSH = v_BTI.reshape(B, T, self.kv_heads, -1).transpose(1, 2)
        if step.cache is not None:
            k_BKSH = step.cache.extend(self.layer, "key", k_BKSH)
            v_BKSH = step.cache.extend(self.layer, "value", v_BKSH)
        scoring, dropout = self.scoring, self.scoring.dropout if self.training else 0.0
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        mask, q_BNTH = step.mask(scoring.rule), self.rotary.rotate(q_BTNH, step).transpose(1, 2)
        mixed = attend(q_BNTH, k_BKSH, v_BKSH, mask, None, None, dropout).transpose(1, 2)
        rows = mixed.reshape(B, T, self.kv_heads, self.top_k, -1).transpose(2, 3).reshape(len(order_R), -1)
        weights_R = logits_MA.softmax(-1).flatten()[order_R, None].type_as(rows)
        out = grouped_linear(rows[order_R], self.output_proj, None, expert_R, ends_E) * weights_R
        return x_MD.new_zeros(B * T, D).index_add(0, order_R // self.top_k, out).view(B, T, D) + self.bias

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.input_proj, std=std)
        nn.init.normal_(self.output_proj, std=std)
        nn.init.zeros_(self.bias)


@final
class RwkvLayer(Mixer):
    """RWKV-4's time mixing: each channel a fading average of its past, gated by a receptance."""

    def __init__(self, inner: int, width: int, layer: int) -> None:
        super().__init__()
        self.time_decay, self.time_first = parameter(inner), parameter(inner)
        self.time_mix_key = parameter(1, 1, width)
        self.time_mix_value = parameter(1, 1, width)
        self.time_mix_receptance = parameter(1, 1, width)
        self.key, self.value = Linear(width, inner), Linear(width, inner)
        self.receptance, self.output = Linear(width, inner), Linear(inner, width)
        self.layer = layer
        running = Replace(shape=(inner,), dtype="float32")
        self.states: dict[str, State] = {
            "shift": Replace(shape=(width,)),
            **dict.fromkeys(WkvState._fields, running),
        }

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        before_BTD = shifted(x_BTD, step, tidy, self.layer, "shift")
        key = self.key(torch.lerp(before_BTD, x_BTD, self.time_mix_key))
        value = self.value(torch.lerp(before_BTD, x_BTD, self.time_mix_value))
        receptance = self.receptance(torch.lerp(before_BTD, x_BTD, self.time_mix_receptance)).sigmoid()
        parts = [recall(step, self.layer, name) for name in WkvState._fields]
        kept = [part for part in parts if part is not None]
        state = WkvState(*kept) if kept else None
        real_BT = None if tidy is None else tidy.real_BT
        mixed, state = wkv(self.time_decay, self.time_first, key, value, state, real_BT)
        for name, part in state._asdict().items():
            remember(step, self.layer, name, part)
        return self.output(receptance * mixed.type_as(x_BTD))

    def init_weights(self, std: float) -> None:
        nn.init.uniform_(self.time_decay, -6, 1)
        nn.init.constant_(self.time_first, 0.3)
        for weight in (self.time_mix_key, self.time_mix_value, self.time_mix_receptance):
            nn.init.uniform_(weight)


@final
class ChannelMixLayer(StepLayer):
    """RWKV-4's feed-forward network: sigmoid(receptance) * value(relu(key)^2) over shifted tokens."""

    def __init__(self, width: int, inner: int, layer: int) -> None:
        super().__init__()
        self.time_mix_key, self.time_mix_receptance = parameter(1, 1, width), parameter(1, 1, width)
        self.key, self.value = Linear(width, inner), Linear(inner, width)
        self.receptance = Linear(width, width)
        self.layer = layer
        self.states = {"channel_shift": Replace(shape=(width,))}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        before_BTD = shifted(x_BTD, step, tidy, self.layer, "channel_shift")
        key = F.relu(self.key(torch.lerp(before_BTD, x_BTD, self.time_mix_key))).square()
        receptance = self.receptance(torch.lerp(before_BTD, x_BTD, self.time_mix_receptance)).sigmoid()
        return receptance * self.value(key)

    def init_weights(self, std: float) -> None:
        nn.init.uniform_(self.time_mix_key)
        nn.init.uniform_(self.time_mix_receptance)


@final
class MlstmLayer(Mixer):
    """xLSTM's matrix memory with capped exponential gates, normalised per head and gated at the end."""

    def __init__(self, spec: Mlstm, width: int, layer: int) -> None:
        super().__init__()
        keys, values = spec.heads * spec.key_dim, spec.heads * spec.value_dim
        self.q, self.k = Linear(width, keys, bias=spec.bias), Linear(width, keys, bias=spec.bias)
        self.v = Linear(width, values, bias=spec.bias)
        self.ogate_preact = Linear(width, values, bias=spec.bias)
        self.igate_preact = Linear(width, spec.heads, bias=True)
        self.fgate_preact = Linear(width, spec.heads, bias=True)
        self.norm = LayerNormLayer(spec.value_dim, spec.norm_eps, weight=False, bias=False)
        self.norm_weight = parameter(values)
        self.norm_bias = parameter(values) if spec.bias else None
        self.out_proj = Linear(values, width, bias=spec.bias)
        self.heads, self.eps, self.cap, self.layer = spec.heads, spec.eps, spec.gate_cap, layer
        self.states = {
            "memory": Replace(shape=(spec.heads, spec.key_dim, spec.value_dim), dtype="float32"),
            "normaliser": Replace(shape=(spec.heads, spec.key_dim), dtype="float32"),
            "maximum": Replace(shape=(spec.heads,), dtype="float32"),
        }

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        q, k, v = (self._heads(part(x_BTD)) for part in (self.q, self.k, self.v))
        written = self._capped(self.igate_preact(x_BTD).float()).transpose(1, 2)
        kept = self._capped(self.fgate_preact(x_BTD).float()).transpose(1, 2)
        if tidy is not None:
            padding_B1T = ~tidy.real_BT.unsqueeze(1)
            written = written.masked_fill(padding_B1T, float("-inf"))
            kept = kept.masked_fill(padding_B1T, float("inf"))
        parts = [recall(step, self.layer, name) for name in MlstmState._fields]
        known = [part for part in parts if part is not None]
        state = MlstmState(*known) if known else None
        if step.new == 1 and state is not None:
            one = (q[:, :, 0], k[:, :, 0], v[:, :, 0], written[..., 0], kept[..., 0])
            h, state = mlstm_step(*one, state, eps=self.eps)
            h_BNTV = h.unsqueeze(2)
        else:
            h_BNTV, state = mlstm(q, k, v, written, kept, state, eps=self.eps)
        for name, part in state._asdict().items():
            remember(step, self.layer, name, part)
        h_BTI = self.norm(h_BNTV.transpose(1, 2)).flatten(2).type_as(x_BTD) * self.norm_weight
        if self.norm_bias is not None:
            h_BTI = h_BTI + self.norm_bias
        return self.out_proj(self.ogate_preact(x_BTD).sigmoid() * h_BTI)

    def _heads(self, x_BTI: Tensor) -> Tensor:
        return x_BTI.view(*x_BTI.shape[:2], self.heads, -1).transpose(1, 2).float()

    def _capped(self, gate: Tensor) -> Tensor:
        return gate if self.cap is None else self.cap * torch.tanh(gate / self.cap)

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.norm_weight)
        if self.norm_bias is not None:
            nn.init.zeros_(self.norm_bias)


@final
class PairLayer(Mixer):
    """Attention and a state space side by side, summed."""

    def __init__(self, attention: Mixer, mamba: Mixer, before: float, after: float) -> None:
        super().__init__()
        self.attention, self.mamba = attention, mamba
        self.before, self.after = before, after
        self.states = {**attention.states, **mamba.states}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return self.attention(x_BTD * self.before, step) * self.after + self.mamba(x_BTD, step)


def shifted(x_BTD: Tensor, step: Step, tidy: Tidy | None, layer: int, name: str) -> Tensor:
    """Each token's predecessor, zeros before the first; the last real token is kept as the layer's state."""
    last_BD = recall(step, layer, name)
    first_B1D = torch.zeros_like(x_BTD[:, :1]) if last_BD is None else last_BD.unsqueeze(1)
    history = torch.cat((first_B1D, x_BTD), dim=1)
    if tidy is None:
        remember(step, layer, name, x_BTD[:, -1])
    else:
        index = tidy.lengths_B[:, None, None].expand(-1, 1, x_BTD.shape[-1])
        remember(step, layer, name, history.gather(1, index).squeeze(1))
    return history[:, :-1]
