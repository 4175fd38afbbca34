"""Mixtures of experts: a router that picks, experts that work, and what is always on beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_modeling.spec.activation import Activation, GatedActivation
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftmaxScores:
    """Softmax over all experts, then choose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SigmoidScores:
    """Sigmoid of each logit, then choose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenSoftmax:
    """Choose by logit, then softmax over the chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenSigmoid:
    """Choose by logit, then sigmoid of the chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseMixer:
    """Two experts, each weighted by a softmax over the logits near the maximum (arXiv 2409.12136).

    The choice is the deterministic one of inference, in training too.
    """

    jitter: float


Scores = SoftmaxScores | SigmoidScores | ChosenSoftmax | ChosenSigmoid | SparseMixer


@dataclass(frozen=True, kw_only=True, slots=True)
class SumRenorm:
    """Chosen weights divided by their sum plus `eps`, the divisor at least `floor`."""

    eps: float = 0.0
    floor: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerRenorm:
    """Chosen weights divided by their p-norm."""

    p: float


Renorm = SumRenorm | PowerRenorm


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    """Experts in `count` equal groups; only the best `keep` groups are chosen from.

    A group's score is its best expert's, or the sum of its two best.
    """

    count: int
    keep: int
    score: Literal["max", "top2_sum"] = "top2_sum"


@dataclass(frozen=True, kw_only=True, slots=True)
class RouterInput:
    """The router's own view of its input: normalised without weight, times a trained vector, times `multiplier`."""

    norm: Norm
    multiplier: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Router:
    """How experts are chosen and weighted.

    `correction` adds a trained bias to the scores for the choice only. `expert_scale` multiplies weights by a
    trained number per expert, `scale` by a constant. `logit_cap` squeezes logits by tanh.
    """

    scores: Scores
    renorm: Renorm | None = None
    correction: bool = False
    groups: Groups | None = None
    scale: float = 1.0
    bias: bool = False
    logit_cap: float | None = None
    expert_scale: bool = False
    input: RouterInput | None = None
    precision: Literal["input", "float32"] = "input"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainExperts:
    """Each expert is down(activation(up(x)))."""

    activation: Activation
    bias: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedExperts:
    """Each expert is down(activation(gate(x)) * up(x)), gate and up stored as one tensor [experts, 2 width, d]."""

    activation: GatedActivation
    bias: bool = False


Experts = PlainExperts | GatedExperts


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedExpert:
    """A network every token passes; `gated` scales it by the sigmoid of a projection to one number.

    It is added to the experts' output, or averaged with it.
    """

    width: int
    activation: GatedActivation
    form: Literal["gated", "plain"] = "gated"
    bias: bool = False
    token_gate: bool = False
    combine: Literal["sum", "average"] = "sum"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moe:
    """`top_k` of `count` experts of inner size `width` for each token.

    Router weights multiply the experts' output, or their input (Llama 4). `latent` runs the experts in a
    smaller space between two projections. `balance` is the coefficient of the load-balancing loss.
    """

    count: int
    top_k: int
    width: int
    router: Router
    experts: Experts
    shared: SharedExpert | None = None
    weight_on: Literal["output", "input"] = "output"
    latent: int | None = None
    output_norm: Norm | None = None
    output_bias: bool = False
    balance: float = 0.0
