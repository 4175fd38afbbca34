"""Blocks: how a mixer and a feed-forward network join the residual stream h (B, T, D).

Attribute names are the ones checkpoints use: `input_layernorm` is the norm before the mixer,
`post_attention_layernorm` the next one in order of use, and so on. Whatever the mixer is, it is `self_attn`;
whatever the feed-forward network is, it is `mlp`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.layers.base import Layer, Mixer, StepLayer
from hf_modeling.spec import Residual, Sum, Weighted, WideSum

if TYPE_CHECKING:
    from hf_modeling.step import Step

Join = Callable[[Tensor, Tensor], Tensor]


@final
class WeightedSum(nn.Module):
    """stream * h + branch * f, with dropout on f while training."""

    def __init__(self, stream: float, branch: float, dropout: float) -> None:
        super().__init__()
        self.stream, self.branch, self.dropout = stream, branch, dropout

    def forward(self, h: Tensor, f: Tensor) -> Tensor:
        return self.stream * h + self.branch * F.dropout(f, self.dropout, self.training)


@final
class DroppedSum(nn.Module):
    """h + f, with dropout on f while training."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, h: Tensor, f: Tensor) -> Tensor:
        return h + (F.dropout(f, self.dropout) if self.training else f)


@final
class BranchSum(nn.Module):
    """h + branch * f, with dropout on f while training."""

    def __init__(self, branch: float, dropout: float) -> None:
        super().__init__()
        self.branch, self.dropout = branch, dropout

    def forward(self, h: Tensor, f: Tensor) -> Tensor:
        return h + F.dropout(f, self.dropout, self.training) * self.branch


def wide_sum(h: Tensor, f: Tensor) -> Tensor:
    """float32(h) + f."""
    return h.float() + f


def join(spec: Residual) -> Join:
    """The function that adds a branch to the stream; a bare `+` where nothing else is asked for."""
    match spec:
        case Sum(dropout=0.0):
            return operator.add
        case Sum(dropout=dropout):
            return DroppedSum(dropout)
        case WideSum():
            return wide_sum
        case Weighted(stream=1.0, branch=branch, dropout=dropout):
            return BranchSum(branch, dropout)
        case Weighted(stream=stream, branch=branch, dropout=dropout):
            return WeightedSum(stream, branch, dropout)


@final
class PreNormLayer(StepLayer):
    """h + mixer(norm(h)), then h + ffn(norm(h))."""

    def __init__(
        self, mixer: Mixer, mixer_norm: Layer, ffn: StepLayer, ffn_norm: Layer, add_mixer: Join, add_ffn: Join
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, ffn_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        h_BTD = self.add_mixer(h_BTD, self.self_attn(self.input_layernorm(h_BTD), step))
        return self.add_ffn(h_BTD, self.mlp(self.post_attention_layernorm(h_BTD), step))


@final
class PostNormLayer(StepLayer):
    """h + norm(mixer(h)), then h + norm(ffn(h))."""

    def __init__(
        self, mixer: Mixer, mixer_norm: Layer, ffn: StepLayer, ffn_norm: Layer, add_mixer: Join, add_ffn: Join
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.post_attention_layernorm, self.post_feedforward_layernorm = mixer_norm, ffn_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        h_BTD = self.add_mixer(h_BTD, self.post_attention_layernorm(self.self_attn(h_BTD, step)))
        return self.add_ffn(h_BTD, self.post_feedforward_layernorm(self.mlp(h_BTD, step)))


@final
class SandwichLayer(StepLayer):
    """h + norm(mixer(norm(h))), then h + norm(ffn(norm(h)))."""

    def __init__(
        self,
        mixer: Mixer,
        mixer_norm: Layer,
        mixer_output_norm: Layer,
        ffn: StepLayer,
        ffn_norm: Layer,
        ffn_output_norm: Layer,
        add_mixer: Join,
        add_ffn: Join,
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, mixer_output_norm
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = ffn_norm, ffn_output_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        mixed_BTD = self.self_attn(self.input_layernorm(h_BTD), step)
        h_BTD = self.add_mixer(h_BTD, self.post_attention_layernorm(mixed_BTD))
        thought_BTD = self.mlp(self.pre_feedforward_layernorm(h_BTD), step)
        return self.add_ffn(h_BTD, self.post_feedforward_layernorm(thought_BTD))


@final
class ParallelLayer(StepLayer):
    """h + (mixer(x) + ffn(x)) with x = norm(h)."""

    def __init__(self, mixer: Mixer, norm: Layer, ffn: StepLayer, add: Join) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm = norm
        self.add = add

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        x_BTD = self.input_layernorm(h_BTD)
        return self.add(h_BTD, self.self_attn(x_BTD, step) + self.mlp(x_BTD, step))


@final
class TwoNormParallelLayer(StepLayer):
    """h + (mixer(norm(h)) + ffn(norm(h))), each with its own norm."""

    def __init__(self, mixer: Mixer, mixer_norm: Layer, ffn: StepLayer, ffn_norm: Layer, add: Join) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, ffn_norm
        self.add = add

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        mixed_BTD = self.self_attn(self.input_layernorm(h_BTD), step)
        return self.add(h_BTD, mixed_BTD + self.mlp(self.post_attention_layernorm(h_BTD), step))


@final
class NormedSumLayer(StepLayer):
    """norm(h + mixer(h)), then norm(h + ffn(h))."""

    def __init__(
        self, mixer: Mixer, mixer_norm: Layer, ffn: StepLayer, ffn_norm: Layer, add_mixer: Join, add_ffn: Join
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.post_attention_layernorm, self.post_feedforward_layernorm = mixer_norm, ffn_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        h_BTD = self.post_attention_layernorm(self.add_mixer(h_BTD, self.self_attn(h_BTD, step)))
        return self.post_feedforward_layernorm(self.add_ffn(h_BTD, self.mlp(h_BTD, step)))


@final
class NormedStreamLayer(StepLayer):
    """x = norm(h), h = add(x, mixer(x)); then x = norm(h), h = add(x, ffn(x))."""

    def __init__(
        self, mixer: Mixer, mixer_norm: Layer, ffn: StepLayer, ffn_norm: Layer, add_mixer: Join, add_ffn: Join
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, ffn_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        x_BTD = self.input_layernorm(h_BTD)
        h_BTD = self.add_mixer(x_BTD, self.self_attn(x_BTD, step))
        x_BTD = self.post_attention_layernorm(h_BTD)
        return self.add_ffn(x_BTD, self.mlp(x_BTD, step))


@final
class MixerOnlyLayer(StepLayer):
    """h + mixer(norm(h))."""

    def __init__(self, mixer: Mixer, norm: Layer, add: Join) -> None:
        super().__init__()
        self.self_attn = mixer
        self.input_layernorm = norm
        self.add = add

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        return self.add(h_BTD, self.self_attn(self.input_layernorm(h_BTD), step))


@final
class FfnOnlyLayer(StepLayer):
    """h + ffn(norm(h))."""

    def __init__(self, ffn: StepLayer, norm: Layer, add: Join) -> None:
        super().__init__()
        self.mlp = ffn
        self.input_layernorm = norm
        self.add = add

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        return self.add(h_BTD, self.mlp(self.input_layernorm(h_BTD), step))
