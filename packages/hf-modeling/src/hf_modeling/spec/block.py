"""Blocks: how a mixer and a feed-forward network are wired to the residual stream h.

`residual` fields say how a branch's output f joins h. Branch norms that are None are absent.
"""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.cross import CrossAttention
from hf_modeling.spec.ffn import Ffn
from hf_modeling.spec.mixer import Mixer
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class Sum:
    """h + f, with dropout on f while training."""

    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighted:
    """stream * h + branch * f, with dropout on f while training."""

    stream: float = 1.0
    branch: float = 1.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WideSum:
    """float32(h) + f: the stream stays in float32 whatever dtype the model has; its norms bring it back."""


Residual = Sum | Weighted | WideSum


@dataclass(frozen=True, kw_only=True, slots=True)
class PreNorm:
    """h + mixer(norm(h)), then h + ffn(norm(h)). Llama."""

    mixer: Mixer
    mixer_norm: Norm | None
    ffn: Ffn
    ffn_norm: Norm | None
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class PostNorm:
    """h + norm(mixer(h)), then h + norm(ffn(h)). OLMo 2."""

    mixer: Mixer
    mixer_norm: Norm
    ffn: Ffn
    ffn_norm: Norm
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandwich:
    """h + norm(mixer(norm(h))), then h + norm(ffn(norm(h))). Gemma 2."""

    mixer: Mixer
    mixer_norm: Norm
    mixer_output_norm: Norm
    ffn: Ffn
    ffn_norm: Norm | None
    ffn_output_norm: Norm
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class Parallel:
    """h + mixer(norm(h)) + ffn(norm(h)); without `ffn_norm` both read the mixer's norm. Cohere, GPT-NeoX."""

    mixer: Mixer
    mixer_norm: Norm
    ffn: Ffn
    ffn_norm: Norm | None
    residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class NormedSum:
    """norm(h + mixer(h)), then norm(h + ffn(h)): the original transformer. BERT."""

    mixer: Mixer
    mixer_norm: Norm
    ffn: Ffn
    ffn_norm: Norm
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class Convolved:
    """norm(y + activation(conv(h))), y being what `NormedSum` makes of h (the first block of DeBERTa v2).

    The convolution has an odd `kernel` of tokens in `groups` of channels; padding counts as zeros.
    """

    mixer: Mixer
    mixer_norm: Norm
    ffn: Ffn
    ffn_norm: Norm
    kernel: int
    groups: int
    activation: PlainActivation
    conv_norm: Norm
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()
    conv_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NormedStream:
    """x = norm(h), h = residual(x, mixer(x)), and the same with ffn: the norm's output carries on. MiniMax."""

    mixer: Mixer
    mixer_norm: Norm
    ffn: Ffn
    ffn_norm: Norm
    mixer_residual: Residual = Sum()
    ffn_residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class MixerOnly:
    """h + mixer(norm(h))."""

    mixer: Mixer
    norm: Norm
    residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class FfnOnly:
    """h + ffn(norm(h))."""

    ffn: Ffn
    norm: Norm
    residual: Residual = Sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class PerLayerInput:
    """h + norm(project(activation(gate(h)) * e), e being this layer's own embedding of the token (Gemma 3n, 4)."""

    dim: int
    activation: PlainActivation
    norm: Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaledSandwich:
    """A sandwich block, then the per-layer input if any, then everything times one trained number. Gemma 4."""

    sandwich: Sandwich
    per_layer: PerLayerInput | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossed:
    """A block that reads an encoder between its mixer and its network, wired and normed as these are."""

    block: PreNorm | NormedSum
    cross: CrossAttention
    norm: Norm
    residual: Residual = Sum()


Block = (
    PreNorm
    | PostNorm
    | Sandwich
    | Parallel
    | NormedSum
    | NormedStream
    | Convolved
    | MixerOnly
    | FfnOnly
    | ScaledSandwich
    | Crossed
)
