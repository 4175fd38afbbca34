"""From the last hidden state to vocabulary logits."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadTransform:
    """norm(activation(dense(h))) to `dim` features before the vocabulary projection (None keeps the width)."""

    activation: PlainActivation
    norm: Norm
    bias: bool = True
    dim: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LmHead:
    """softcap * tanh(scale * (W h + b) / softcap); `tied` takes W from the token embeddings."""

    tied: bool = False
    bias: bool = False
    scale: float = 1.0
    softcap: float | None = None
    transform: HeadTransform | None = None
