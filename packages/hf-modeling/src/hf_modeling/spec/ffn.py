"""Feed-forward networks: what acts on each position by itself."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import Activation, GatedActivation
from hf_modeling.spec.moe import Moe
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class Mlp:
    """down(activation(up(x))), with an optional norm, and while training dropout, before `down`."""

    width: int
    activation: Activation
    bias: bool = False
    inner_norm: Norm | None = None
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedMlp:
    """down(activation(gate(x)) * up(x)), with an optional norm before `down` and constant multipliers.

    `dropout` acts before `down` while training.
    """

    width: int
    activation: GatedActivation
    bias: bool = False
    inner_norm: Norm | None = None
    gate_multiplier: float = 1.0
    down_multiplier: float = 1.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DualFfn:
    """A dense and a sparse network side by side: norm(dense(norm(x))) + norm(sparse(norm(x))).

    It normalises for itself, so the block around it gives it the residual stream; the router sees that too.
    """

    dense: GatedMlp
    dense_norm: Norm
    dense_output_norm: Norm
    sparse: Moe
    sparse_norm: Norm
    sparse_output_norm: Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelMix:
    """sigmoid(receptance(r)) * value(relu(key(k))^2), r and k mixed from each token and the one before (RWKV-4)."""

    width: int


Ffn = Mlp | GatedMlp | Moe | DualFfn | ChannelMix
