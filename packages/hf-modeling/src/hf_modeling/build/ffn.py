"""Feed-forward networks, dense and sparse."""

from __future__ import annotations

from typing import assert_never

from hf_modeling.build.norm import build_norm
from hf_modeling.errors import SpecError
from hf_modeling.layers.activation import PLAIN, Unary, XIeluLayer, gating
from hf_modeling.layers.base import Layer, Linear, StepLayer
from hf_modeling.layers.mlp import GatedMlpLayer, JoinedMlpLayer, MlpLayer
from hf_modeling.layers.moe import (
    DualFfnLayer,
    ExpertsLayer,
    GatedExpertsLayer,
    MoeLayer,
    PlainExpertsLayer,
    RouterInputLayer,
    RouterLayer,
    SharedExpertLayer,
)
from hf_modeling.layers.routing import choice, rescale
from hf_modeling.layers.special import ChannelMixLayer
from hf_modeling.spec import (
    Activation,
    ChannelMix,
    ClampedSwiglu,
    DualFfn,
    Ffn,
    GatedExperts,
    GatedMlp,
    Mlp,
    Moe,
    PlainExperts,
    SharedExpert,
    XIelu,
)


def build_ffn(spec: Ffn, width: int, layer: int) -> StepLayer:
    """The feed-forward network of layer number `layer`."""
    match spec:
        case Mlp() | GatedMlp():
            return _build_dense(spec, width)
        case Moe():
            return build_moe(spec, width)
        case DualFfn():
            return DualFfnLayer(
                _build_gated(spec.dense, width),
                build_norm(spec.dense_norm, width),
                build_norm(spec.dense_output_norm, width),
                build_moe(spec.sparse, width),
                build_norm(spec.sparse_norm, width),
                build_norm(spec.sparse_output_norm, width),
            )
        case ChannelMix():
            return ChannelMixLayer(width, spec.width, layer)
        case _:
            assert_never(spec)


def build_activation(spec: Activation) -> Unary | Layer:
    """A function, or a layer where the activation has parameters of its own."""
    return XIeluLayer(spec) if isinstance(spec, XIelu) else PLAIN[spec]


def build_moe(spec: Moe, width: int) -> MoeLayer:
    """A mixture of experts.

    Raises:
        SpecError: numbers of experts, groups and choices that do not fit together.
    """
    _check_counts(spec)
    inside = spec.latent or width
    latent = None if spec.latent is None else (Linear(width, inside), Linear(inside, width))
    return MoeLayer(
        _build_router(spec, width),
        _build_experts(spec, inside),
        None if spec.shared is None else _build_shared(spec.shared, width),
        combine=0.5 if spec.shared is not None and spec.shared.combine == "average" else 1.0,
        weight_on_input=spec.weight_on == "input",
        latent=latent,
        output_bias=width if spec.output_bias else 0,
        output_norm=None if spec.output_norm is None else build_norm(spec.output_norm, width),
    )


def _check_counts(spec: Moe) -> None:
    groups = spec.router.groups
    per_group = spec.count if groups is None else spec.count // groups.count
    reachable = spec.count if groups is None else per_group * groups.keep
    if groups is not None and spec.count % groups.count:
        raise SpecError(
            f"{spec.count} experts cannot form {groups.count} equal groups",
            fix="make the number of experts a multiple of the number of groups",
        )
    if not 0 < spec.top_k <= reachable:
        raise SpecError(
            f"{spec.top_k} experts for each token, but only {reachable} of {spec.count} can be chosen",
            fix="correct the number of experts, of experts per token, or of groups kept",
        )


def _build_router(spec: Moe, width: int) -> RouterLayer:
    router = RouterLayer(
        width,
        spec.count,
        choice(spec.router, spec.top_k),
        rescale(spec.router.renorm, spec.router.scale),
        bias=spec.router.bias,
        correction=spec.router.correction,
        expert_scale=spec.router.expert_scale,
        logit_cap=spec.router.logit_cap,
        wide=spec.router.precision == "float32",
    )
    if spec.router.input is not None:
        norm = build_norm(spec.router.input.norm, width)
        router.input = RouterInputLayer(width, norm, spec.router.input.multiplier)
    return router


def _build_experts(spec: Moe, width: int) -> ExpertsLayer:
    match spec.experts:
        case GatedExperts(activation=activation, bias=bias):
            return GatedExpertsLayer(spec.count, width, spec.width, gating(activation), bias=bias)
        case PlainExperts(activation=activation, bias=bias):
            return PlainExpertsLayer(spec.count, width, spec.width, build_activation(activation), bias=bias)
        case _:
            assert_never(spec.experts)


def _build_shared(spec: SharedExpert, width: int) -> SharedExpertLayer:
    dense: Mlp | GatedMlp
    if spec.form == "gated":
        dense = GatedMlp(width=spec.width, activation=spec.activation, bias=spec.bias)
    elif isinstance(spec.activation, ClampedSwiglu):
        raise SpecError(
            "a shared expert without a gate cannot have a gated activation", fix="make form 'gated'"
        )
    else:
        dense = Mlp(width=spec.width, activation=spec.activation, bias=spec.bias)
    return SharedExpertLayer(width, _build_dense(dense, width), token_gate=spec.token_gate)


def _build_dense(spec: Mlp | GatedMlp, width: int) -> StepLayer:
    if isinstance(spec, GatedMlp):
        return _build_gated(spec, width)
    norm = None if spec.inner_norm is None else build_norm(spec.inner_norm, spec.width)
    activation = build_activation(spec.activation)
    return MlpLayer(width, spec.width, activation, bias=spec.bias, inner_norm=norm, dropout=spec.dropout)


def _build_gated(spec: GatedMlp, width: int) -> StepLayer:
    activation = spec.activation
    if isinstance(activation, ClampedSwiglu) or (spec.gate_multiplier, spec.down_multiplier) != (1.0, 1.0):
        joined = gating(activation, spec.gate_multiplier)
        return JoinedMlpLayer(width, spec.width, joined, spec.down_multiplier, bias=spec.bias)
    norm = None if spec.inner_norm is None else build_norm(spec.inner_norm, spec.width)
    return GatedMlpLayer(
        width, spec.width, PLAIN[activation], bias=spec.bias, inner_norm=norm, dropout=spec.dropout
    )
