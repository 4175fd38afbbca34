"""Blocks: the layers of a stack."""

from __future__ import annotations

from typing import assert_never

from hf_modeling.build.cross import build_cross
from hf_modeling.build.ffn import build_ffn
from hf_modeling.build.mixer import build_mixer
from hf_modeling.build.norm import build_norm
from hf_modeling.build.shared import Building
from hf_modeling.layers.activation import PLAIN
from hf_modeling.layers.base import Layer, Mixer, StepLayer
from hf_modeling.layers.block import (
    FfnOnlyLayer,
    Join,
    MixerOnlyLayer,
    NormedStreamLayer,
    NormedSumLayer,
    ParallelLayer,
    PostNormLayer,
    PreNormLayer,
    SandwichLayer,
    TwoNormParallelLayer,
    join,
)
from hf_modeling.layers.convolved import ConvolvedLayer, SameConv
from hf_modeling.layers.cross import CrossedNormedSumLayer, CrossedPreNormLayer
from hf_modeling.layers.per_layer import PerLayerInputLayer, ScaledSandwichLayer
from hf_modeling.spec import (
    Block,
    Convolved,
    Crossed,
    FfnOnly,
    MixerOnly,
    NormedStream,
    NormedSum,
    Parallel,
    PerLayerInput,
    PostNorm,
    PreNorm,
    Sandwich,
    ScaledSandwich,
)

Branches = tuple[Mixer, Layer, StepLayer, Layer, Join, Join]
SandwichParts = tuple[Mixer, Layer, Layer, StepLayer, Layer, Layer, Join, Join]


def build_block(spec: Block, layer: int, building: Building) -> StepLayer:
    """Layer number `layer` of a stack."""
    match spec:
        case PreNorm():
            return PreNormLayer(*_branches(spec, layer, building))
        case PostNorm():
            return PostNormLayer(*_branches(spec, layer, building))
        case NormedSum():
            return NormedSumLayer(*_branches(spec, layer, building))
        case Convolved():
            return _convolved(spec, layer, building)
        case NormedStream():
            return NormedStreamLayer(*_branches(spec, layer, building))
        case Sandwich():
            return SandwichLayer(*_sandwich(spec, layer, building))
        case ScaledSandwich():
            own = None if spec.per_layer is None else _per_layer_input(spec.per_layer, layer, building.width)
            return ScaledSandwichLayer(*_sandwich(spec.sandwich, layer, building), own)
        case Parallel():
            return _parallel(spec, layer, building)
        case MixerOnly():
            norm = build_norm(spec.norm, building.width)
            return MixerOnlyLayer(build_mixer(spec.mixer, layer, building), norm, join(spec.residual))
        case FfnOnly():
            norm = build_norm(spec.norm, building.width)
            return FfnOnlyLayer(build_ffn(spec.ffn, building.width, layer), norm, join(spec.residual))
        case Crossed():
            return _crossed(spec, layer, building)
        case _:
            assert_never(spec)


def _convolved(spec: Convolved, layer: int, building: Building) -> StepLayer:
    conv = SameConv(building.width, spec.kernel, spec.groups, PLAIN[spec.activation], spec.conv_dropout)
    return ConvolvedLayer(*_branches(spec, layer, building), conv, build_norm(spec.conv_norm, building.width))


def _branches(
    spec: PreNorm | PostNorm | NormedSum | NormedStream | Convolved, layer: int, building: Building
) -> Branches:
    return (
        build_mixer(spec.mixer, layer, building),
        build_norm(spec.mixer_norm, building.width),
        build_ffn(spec.ffn, building.width, layer),
        build_norm(spec.ffn_norm, building.width),
        join(spec.mixer_residual),
        join(spec.ffn_residual),
    )


def _sandwich(spec: Sandwich, layer: int, building: Building) -> SandwichParts:
    return (
        build_mixer(spec.mixer, layer, building),
        build_norm(spec.mixer_norm, building.width),
        build_norm(spec.mixer_output_norm, building.width),
        build_ffn(spec.ffn, building.width, layer),
        build_norm(spec.ffn_norm, building.width),
        build_norm(spec.ffn_output_norm, building.width),
        join(spec.mixer_residual),
        join(spec.ffn_residual),
    )


def _parallel(spec: Parallel, layer: int, building: Building) -> StepLayer:
    mixer = build_mixer(spec.mixer, layer, building)
    mixer_norm = build_norm(spec.mixer_norm, building.width)
    ffn = build_ffn(spec.ffn, building.width, layer)
    if spec.ffn_norm is None:
        return ParallelLayer(mixer, mixer_norm, ffn, join(spec.residual))
    ffn_norm = build_norm(spec.ffn_norm, building.width)
    return TwoNormParallelLayer(mixer, mixer_norm, ffn, ffn_norm, join(spec.residual))


def _crossed(spec: Crossed, layer: int, building: Building) -> StepLayer:
    cross = build_cross(spec.cross, layer, building)
    norm = build_norm(spec.norm, building.width)
    kind = CrossedPreNormLayer if isinstance(spec.block, PreNorm) else CrossedNormedSumLayer
    return kind(*_branches(spec.block, layer, building), cross, norm, join(spec.residual))


def _per_layer_input(spec: PerLayerInput, layer: int, width: int) -> PerLayerInputLayer:
    norm = build_norm(spec.norm, width)
    return PerLayerInputLayer(width, spec.dim, layer, PLAIN[spec.activation], norm)
