"""Facts that several families share, as functions from their config fields to spec values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from hf_modeling.errors import SpecError
from hf_modeling.spec import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    NtkAlphaScaling,
    PlainActivation,
    ProportionalScaling,
    Rope,
    RopeScaling,
    YarnScaling,
)

if TYPE_CHECKING:
    from hf_config.rope import RopeParameters

ACTIVATIONS: Final[Mapping[str, PlainActivation]] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "gelu_sigmoid",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": "identity",
    "gelu_10": "gelu_clipped",
    "hardswish": "hardswish",
    "laplace": "laplace",
    "sqrtsoftplus": "sqrt_softplus",
}
"""The format's names of activations -> ours."""


def activation(name: str) -> PlainActivation:
    """An activation by the name that configs use.

    Raises:
        SpecError: one that is not a plain function of its input.
    """
    found = ACTIVATIONS.get(name)
    if found is None:
        raise SpecError(
            f"activation {name!r} is not a plain function of its input",
            fix=f"use one of {', '.join(ACTIVATIONS)}, or describe the family with an activation of its own",
        )
    return found


def rope(
    parameters: RopeParameters,
    head_dim: int,
    max_positions: int,
    *,
    layout: Literal["half", "interleaved"] = "half",
    apply: Literal["input", "float32"] = "input",
    direction: Literal[1, -1] = 1,
) -> Rope:
    """The rotation that a config's rope settings describe for heads of `head_dim` features."""
    share = parameters.partial_rotary_factor or 1.0
    whole = parameters.rope_type == "proportional"
    dim = head_dim if whole else int(head_dim * share)
    return Rope(
        theta=parameters.rope_theta,
        dim=dim,
        layout=layout,
        direction=direction,
        scaling=rope_scaling(parameters, head_dim, max_positions),
        apply=apply,
    )


def rope_scaling(parameters: RopeParameters, head_dim: int, max_positions: int) -> RopeScaling | None:
    """How the settings stretch frequencies; the checks that every value is there are the config's."""
    p = parameters
    original = p.original_max_position_embeddings or max_positions
    match p.rope_type:
        case "default":
            return None
        case "linear":
            return LinearScaling(factor=_given(p.factor))
        case "dynamic" if p.alpha is not None:
            return NtkAlphaScaling(alpha=p.alpha)
        case "dynamic":
            return DynamicScaling(factor=_given(p.factor), max_positions=max_positions)
        case "yarn":
            return _yarn(p, original, max_positions)
        case "longrope":
            return _longrope(p, original, max_positions)
        case "llama3":
            return Llama3Scaling(
                factor=_given(p.factor),
                low=_given(p.low_freq_factor),
                high=_given(p.high_freq_factor),
                original_positions=original,
            )
        case "proportional":
            rotated = 2 * int((p.partial_rotary_factor or 1.0) * head_dim // 2)
            return ProportionalScaling(rotated_dim=rotated, factor=p.factor or 1.0)
        case other:
            raise SpecError(f"rope_type {other!r} does not fit text positions", fix="correct rope_parameters")


def yarn_mscale(factor: float, mscale: float) -> float:
    """0.1 mscale ln(factor) + 1 (arXiv 2309.00071, section 3.4), and 1 where nothing is stretched."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn(p: RopeParameters, original: int, max_positions: int) -> YarnScaling:
    factor = p.factor or max_positions / original
    attention_factor = p.attention_factor
    if attention_factor is None and p.mscale and p.mscale_all_dim:
        attention_factor = yarn_mscale(factor, p.mscale) / yarn_mscale(factor, p.mscale_all_dim)
    elif attention_factor is None:
        attention_factor = yarn_mscale(factor, 1.0)
    return YarnScaling(
        factor=factor,
        original_positions=original,
        attention_factor=attention_factor,
        beta_fast=p.beta_fast or 32.0,
        beta_slow=p.beta_slow or 1.0,
        truncate=p.truncate is not False,
    )


def _longrope(p: RopeParameters, original: int, max_positions: int) -> LongRopeScaling:
    factor = p.factor or max_positions / original
    attention_factor = p.attention_factor
    if attention_factor is None:
        attention_factor = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return LongRopeScaling(
        short=p.short_factor or (),
        long=p.long_factor or (),
        original_positions=original,
        short_attention_factor=p.short_mscale or attention_factor,
        long_attention_factor=p.long_mscale or attention_factor,
    )


def _given(value: float | None) -> float:
    assert value is not None, "the config checks that its rope type has what it needs"
    return value
