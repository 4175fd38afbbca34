"""Mixtures of experts as many families have them: their specs, and how checkpoints name experts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from hf_modeling.families.facts import activation
from hf_modeling.families.parts import pre_norm
from hf_modeling.spec import (
    Ffn,
    GatedExperts,
    Groups,
    Mixer,
    Moe,
    Norm,
    PreNorm,
    Router,
    SharedExpert,
    SigmoidScores,
    SoftmaxScores,
    SumRenorm,
)
from hf_modeling.weights.ops import Stack
from hf_modeling.weights.table import Drop, Rule, drop, rule

if TYPE_CHECKING:
    from hf_hub_io import JsonValue

MOE: Final = "model.layers.{layer}.mlp."
"""Where a layer's mixture is in memory, and on disk in most families."""

BLOCK: Final = "model.layers.{layer}.block_sparse_moe."
"""The same on disk where Mixtral's names are used."""

CORRECTION: Final = MOE + "gate.e_score_correction_bias"
"""The trained shift of the choice, which stays in float32."""


class HasOwnHeads(Protocol):
    """A config whose type does not know `head_dim`, though its files may give it."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def extra(self) -> Mapping[str, JsonValue]: ...


class HasSparseSteps(Protocol):
    """A config in which every so many layers are sparse, but for some."""

    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def decoder_sparse_step(self) -> int: ...
    @property
    def mlp_only_layers(self) -> tuple[int, ...]: ...


class HasGroups(Protocol):
    """A config whose experts are chosen by corrected scores within the best groups."""

    @property
    def n_group(self) -> int | None: ...
    @property
    def topk_group(self) -> int | None: ...
    @property
    def norm_topk_prob(self) -> bool: ...
    @property
    def routed_scaling_factor(self) -> float: ...


class HasCorrectedExperts(HasGroups, Protocol):
    """A config with experts as DeepSeek-V3 has them."""

    @property
    def n_shared_experts(self) -> int: ...
    @property
    def num_experts_per_tok(self) -> int: ...
    @property
    def moe_intermediate_size(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...


class HasGatedSharedExpert(Protocol):
    """A config with experts as Qwen's newer mixtures have them."""

    @property
    def num_experts(self) -> int: ...
    @property
    def num_experts_per_tok(self) -> int: ...
    @property
    def moe_intermediate_size(self) -> int: ...
    @property
    def shared_expert_intermediate_size(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...
    @property
    def router_aux_loss_coef(self) -> float: ...


def head_size(c: HasOwnHeads) -> int:
    """The `head_dim` that a config's file gives, or the width shared evenly."""
    given = c.extra.get("head_dim")
    return given if isinstance(given, int) else c.hidden_size // c.num_attention_heads


def softmax_router(*, renorm: bool) -> Router:
    """The largest probabilities, made to sum to one if asked for."""
    return Router(scores=SoftmaxScores(), renorm=SumRenorm() if renorm else None)


def corrected_router(*, scale: float, eps: float = 1e-20) -> Router:
    """The largest sigmoids after a correction; their own values, made to sum to `scale`, are the weights."""
    renorm = SumRenorm(eps=eps)
    return Router(scores=SigmoidScores(), renorm=renorm, correction=True, scale=scale, precision="float32")


def grouped_router(c: HasGroups) -> Router:
    """DeepSeek-V3's: corrected sigmoids, and only the best groups of experts may be chosen from."""
    groups = None
    if c.n_group is not None and c.n_group > 1:
        groups = Groups(count=c.n_group, keep=c.topk_group or c.n_group)
    return Router(
        scores=SigmoidScores(),
        renorm=SumRenorm(eps=1e-20) if c.norm_topk_prob else None,
        correction=True,
        groups=groups,
        scale=c.routed_scaling_factor,
        precision="float32",
    )


def always_on(width: int, act: str, *, bias: bool = False) -> SharedExpert | None:
    """The expert for every token, with the activation that configs call `act`; None where its width is 0."""
    return SharedExpert(width=width, activation=activation(act), bias=bias) if width else None


def mixture(
    count: int,
    top_k: int,
    width: int,
    act: str,
    router: Router,
    *,
    shared: SharedExpert | None = None,
    balance: float = 0.0,
) -> Moe:
    """`top_k` of `count` gated experts of inner size `width` with the activation that configs call `act`."""
    return Moe(
        count=count,
        top_k=top_k,
        width=width,
        router=router,
        experts=GatedExperts(activation=activation(act)),
        shared=shared,
        balance=balance,
    )


def corrected_moe(c: HasCorrectedExperts, count: int) -> Moe:
    """DeepSeek-V3's mixture: sigmoid scores, a trained correction of the choice, groups, shared experts."""
    shared = always_on(c.moe_intermediate_size * c.n_shared_experts, c.hidden_act)
    counts = (count, c.num_experts_per_tok, c.moe_intermediate_size)
    return mixture(*counts, c.hidden_act, grouped_router(c), shared=shared)


def gated_shared_moe(c: HasGatedSharedExpert, *, renorm: bool) -> Moe:
    """Qwen's mixture: softmax scores, and a shared expert that each token opens by a gate of its own."""
    kind = activation(c.hidden_act)
    return Moe(
        count=c.num_experts,
        top_k=c.num_experts_per_tok,
        width=c.moe_intermediate_size,
        router=Router(scores=SoftmaxScores(), renorm=SumRenorm() if renorm else None),
        experts=GatedExperts(activation=kind),
        shared=SharedExpert(width=c.shared_expert_intermediate_size, activation=kind, token_gate=True),
        balance=c.router_aux_loss_coef,
    )


def expert_rules(
    disk: str = MOE,
    *,
    gate: str = "gate_proj",
    up: str = "up_proj",
    down: str = "down_proj",
    layers: frozenset[int] | None = None,
) -> tuple[Rule, ...]:
    """One tensor for each expert and projection, under `disk`, stacked in memory."""
    each = disk + "experts.{expert}."
    both = (f"{each}{gate}.weight", f"{each}{up}.weight")
    return (
        rule(both, MOE + "experts.gate_up_proj", Stack(names=2), layers=layers),
        rule(f"{each}{down}.weight", MOE + "experts.down_proj", Stack(), layers=layers),
    )


def shared_rules(disk: str = MOE + "shared_experts.") -> tuple[Rule, ...]:
    """The network that every token passes, under `disk`."""
    return (rule(disk + "{rest}", MOE + "shared_expert.mlp.{rest}"),)


def gated_shared_rules() -> tuple[Rule, ...]:
    """Qwen's names of experts, of the shared one and of its gate."""
    gate = rule(MOE + "shared_expert_gate.weight", MOE + "shared_expert.token_gate.weight")
    return (*expert_rules(), *shared_rules(MOE + "shared_expert."), gate)


def by_kind(kinds: Iterable[str], dense: Ffn, sparse: Ffn) -> list[Ffn]:
    """The feed-forward network of every layer, for a config that calls each one "dense" or "sparse"."""
    return [sparse if kind == "sparse" else dense for kind in kinds]


def dense_first(first: int, layers: int, dense: Ffn, sparse: Ffn) -> list[Ffn]:
    """The feed-forward network of every layer: the `first` ones are dense."""
    return [dense if index < first else sparse for index in range(layers)]


def by_step(c: HasSparseSteps, dense: Ffn, sparse: Ffn) -> list[Ffn]:
    """The feed-forward network of every layer: each `decoder_sparse_step`-th is sparse, some never are."""
    return [
        dense if index in c.mlp_only_layers or (index + 1) % c.decoder_sparse_step else sparse
        for index in range(c.num_hidden_layers)
    ]


def pre_norms(mixers: Iterable[Mixer], ffns: Iterable[Ffn], norm: Norm) -> Iterator[PreNorm]:
    """Pre-norm blocks, one for each pair of mixer and feed-forward network."""
    return (pre_norm(mixer, ffn, norm) for mixer, ffn in zip(mixers, ffns, strict=True))


def further_layers(first: int, count: int) -> Drop:
    """Layers after the last one: they guess tokens beyond the next, for drafting."""
    return drop(
        "model.layers.{layer}.{rest}",
        why="predicts tokens after the next; not part of the model",
        layers=frozenset(range(first, first + count)),
    )


def drafting(*patterns: str) -> Drop:
    """The same under names of their own."""
    return drop(*patterns, why="predicts tokens after the next; not part of the model")
