"""Attention: which stages heads pass through, how scores are computed, what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import torch
from torch import nn

from hf_modeling.build.norm import build_each_head_norm, build_norm
from hf_modeling.build.shared import Building
from hf_modeling.cache import Append, Ring, State
from hf_modeling.errors import BackendUnsupportedError, SpecError
from hf_modeling.layers.activation import PLAIN
from hf_modeling.layers.attend import Attend, Backend, EagerAttend, SdpaAttend
from hf_modeling.layers.attention import AttentionLayer, BorrowingAttentionLayer, Scoring
from hf_modeling.layers.base import Layer, Linear, Mixer, parameter
from hf_modeling.layers.block_index import BlockIndexer
from hf_modeling.layers.heads import (
    Clip,
    ExpLog,
    FloorLog,
    Multiply,
    NormalizeHeads,
    NormalizeWidth,
    ScaleByPosition,
    Stage,
)
from hf_modeling.layers.relative import BucketBiasLayer, OwnBiasing
from hf_modeling.masks import window_of
from hf_modeling.spec import (
    Attention,
    BlockIndex,
    Chunk,
    ExpLogScale,
    FloorLogScale,
    KeyAsValue,
    MaskRule,
    OwnBias,
    PositionScale,
    QkNorm,
    SharedKeyValue,
)


def build_attention(spec: Attention, layer: int, building: Building) -> Mixer:
    """The attention of layer number `layer`.

    Raises:
        SpecError: heads that do not divide among key heads.
        BackendUnsupportedError: the backend asked for cannot compute these scores.
    """
    if spec.heads % spec.kv_heads:
        raise SpecError(
            f"layer {layer}: {spec.heads} query heads cannot share {spec.kv_heads} key heads evenly",
            fix="make num_attention_heads a multiple of num_key_value_heads",
        )
    value_dim = spec.value_dim or spec.head_dim
    scoring = build_scoring(spec, building)
    built: AttentionLayer | BorrowingAttentionLayer
    if isinstance(spec.kv, SharedKeyValue):
        built = BorrowingAttentionLayer(
            building.width,
            spec.heads,
            spec.head_dim,
            value_dim,
            spec.kv.layer,
            scoring,
            qkv_bias=spec.qkv_bias,
            output_bias=spec.output_bias,
            sinks=spec.sinks,
        )
    else:
        built = AttentionLayer(
            building.width,
            spec.heads,
            spec.kv_heads,
            spec.head_dim,
            value_dim,
            layer,
            scoring,
            key_value_states(spec.mask, spec.kv_heads, spec.head_dim, value_dim),
            qkv_bias=spec.qkv_bias,
            output_bias=spec.output_bias,
            value_is_key=isinstance(spec.kv, KeyAsValue),
            sinks=spec.sinks,
            shared=layer in building.lenders,
        )
        _add_key_value_stages(built, spec, value_dim, building)
        if spec.index is not None:
            _add_index(built, spec.index, spec.heads, layer, building)
    if isinstance(spec.alibi, OwnBias):
        built.relative_bias = BucketBiasLayer(spec.alibi.bias)
        built.scoring = replace(scoring, alibi=OwnBiasing(built.relative_bias))
    built.query_stages = _query_stages(built, spec, building)
    if spec.gate is not None:
        features = value_dim if spec.gate.per == "feature" else 1
        built.gate_proj = Linear(building.width, spec.heads * features)
        built.gate_bias = parameter(spec.heads) if spec.gate.head_bias else None
        built.gate_activation = PLAIN[spec.gate.activation]
    if spec.output_norm is not None:
        built.attn_sub_norm = build_norm(spec.output_norm, spec.heads * value_dim)
    return built


def _add_index(built: AttentionLayer, spec: BlockIndex, heads: int, layer: int, building: Building) -> None:
    norms = (build_norm(spec.norm, spec.head_dim), build_norm(spec.norm, spec.head_dim))
    rotary = building.rotary(spec.rope)
    built.indexer = BlockIndexer(spec, norms, rotary, building.width, heads, layer)
    built.states = {**built.states, "index_key": Append(heads=1, features=spec.head_dim)}


def build_scoring(spec: Attention, building: Building) -> Scoring:
    """How queries meet keys, with the backend asked for or the fastest that can do it."""
    scale = spec.head_dim**-0.5 if spec.scale is None else spec.scale
    eager = EagerAttend(
        scale=scale,
        softcap=spec.softcap,
        scores_dtype=torch.float32 if spec.scores == "float32" else None,
        softmax_dtype=torch.float32 if spec.softmax == "float32" else None,
    )
    biased = spec.alibi is not None
    shared = None if isinstance(spec.alibi, OwnBias) else spec.alibi
    alibi = None if shared is None else building.alibi(shared, spec.heads, scale)
    attend = choose_attend(eager, spec.mask, building.backend, sinks=spec.sinks, alibi=biased)
    return Scoring(
        attend=attend, eager=eager, rule=spec.mask, alibi=alibi, sinks=spec.sinks, dropout=spec.dropout
    )


def choose_attend(
    eager: EagerAttend, rule: MaskRule, backend: Backend | None, *, sinks: bool = False, alibi: bool = False
) -> Attend:
    """The backend by name; None takes PyTorch's fused attention where its scores need nothing that it lacks.

    Raises:
        BackendUnsupportedError: it cannot compute these scores.
        MissingPackageError: its package is not installed.
    """
    capped = eager.softcap is not None
    match backend:
        case "eager":
            return eager
        case None:
            return eager if capped or sinks else SdpaAttend(scale=eager.scale)
        case "sdpa":
            _refuse("sdpa", {"a cap on scores": capped, "attention sinks": sinks})
            return SdpaAttend(scale=eager.scale)
        case "flex":
            from hf_modeling.layers.attend_flex import FlexAttend

            return FlexAttend(scale=eager.scale, softcap=eager.softcap)
        case "flash":
            chunked = isinstance(rule, Chunk)
            _refuse("flash", {"attention sinks": sinks, "biases by distance": alibi, "chunks": chunked})
            from hf_modeling.layers.attend_flash import FlashAttend, flash_kernels

            return FlashAttend(scale=eager.scale, softcap=eager.softcap, kernels=flash_kernels())
        case _:
            assert_never(backend)


def _refuse(backend: Backend, lacking: Mapping[str, bool]) -> None:
    for mechanism, needed in lacking.items():
        if needed:
            raise BackendUnsupportedError(
                f"attention backend {backend!r} cannot compute {mechanism}, which this model has",
                fix="pass attn_implementation='eager', or leave it out to get the fastest that fits",
            )


BACKENDS: Mapping[str, Backend] = {
    "eager": "eager",
    "sdpa": "sdpa",
    "flex": "flex",
    "flex_attention": "flex",
    "flash": "flash",
    "flash_attention_2": "flash",
}
"""Backends by the names that configs and callers use."""


def backend_of(name: str | None) -> Backend | None:
    """The backend of that name, as configs and callers spell it.

    Raises:
        BackendUnsupportedError: there is none of that name.
    """
    if name is None or name in BACKENDS:
        return None if name is None else BACKENDS[name]
    raise BackendUnsupportedError(
        f"there is no attention backend {name!r}",
        fix=f"use one of {', '.join(map(repr, BACKENDS))}, or leave it out to get the fastest that fits",
    )


def set_backend(model: nn.Module, name: str | None) -> None:
    """Let every mixer of `model` that scores keys compute with this backend from now on.

    Raises:
        BackendUnsupportedError: an unknown backend, or one that cannot compute this model's scores; then
            nothing has changed.
    """
    backend = backend_of(name)
    chosen = [
        (mixer, _rescored(mixer.scoring, backend))
        for mixer in model.modules()
        if isinstance(mixer, Mixer) and mixer.scoring is not None
    ]
    for mixer, scoring in chosen:
        mixer.scoring = scoring


def _rescored(scoring: Scoring, backend: Backend | None) -> Scoring:
    biased = scoring.alibi is not None
    attend = choose_attend(scoring.eager, scoring.rule, backend, sinks=scoring.sinks, alibi=biased)
    return replace(scoring, attend=attend)


def key_value_states(rule: MaskRule, kv_heads: int, head_dim: int, value_dim: int) -> Mapping[str, State]:
    """What attention remembers: every token's keys and values, or those a window may look back to."""
    window = window_of(rule)
    if window is None:
        return {
            "key": Append(heads=kv_heads, features=head_dim),
            "value": Append(heads=kv_heads, features=value_dim),
        }
    return {
        "key": Ring(heads=kv_heads, features=head_dim, window=window),
        "value": Ring(heads=kv_heads, features=value_dim, window=window),
    }


def _query_stages(
    built: AttentionLayer | BorrowingAttentionLayer, spec: Attention, building: Building
) -> tuple[Stage, ...]:
    stages = _turning(built, "q_norm", spec.heads, spec, building)
    if spec.position_scale is not None:
        stages.append(scale_by_position(spec.position_scale))
    return tuple(stages)


def _add_key_value_stages(built: AttentionLayer, spec: Attention, value_dim: int, building: Building) -> None:
    multiplied: list[Stage] = [] if spec.key_multiplier == 1.0 else [Multiply(spec.key_multiplier)]
    built.key_stages = (*multiplied, *_turning(built, "k_norm", spec.kv_heads, spec, building))
    values: list[Stage] = [] if spec.clip is None else [Clip(spec.clip)]
    if spec.value_multiplier != 1.0:
        values.append(Multiply(spec.value_multiplier))
    if spec.value_norm is not None:
        norm = build_norm(spec.value_norm, value_dim)
        built.add_module("v_norm", norm)
        values.append(NormalizeHeads(norm))
    if spec.value_rope is not None:
        values.append(building.rotary(spec.value_rope).rotate)
    built.value_stages = tuple(values)


def _turning(
    built: AttentionLayer | BorrowingAttentionLayer,
    name: str,
    heads: int,
    spec: Attention,
    building: Building,
) -> list[Stage]:
    """Normalisation, clipping and rotation of queries or keys, in the family's order."""
    rotation: list[Stage] = [] if spec.rope is None else [building.rotary(spec.rope).rotate]
    clip: list[Stage] = [] if spec.clip is None else [Clip(spec.clip)]
    if spec.qk_norm is None:
        return [*clip, *rotation]
    norm, normalize = _qk_norm(spec.qk_norm, heads, spec.head_dim)
    built.add_module(name, norm)
    # A norm over the full width acts on the projection itself, before its heads are clipped.
    before = [normalize, *clip] if spec.qk_norm.over == "width" else [*clip, normalize]
    return [*before, *rotation] if spec.qk_norm.place == "before_rope" else [*clip, *rotation, normalize]


def _qk_norm(spec: QkNorm, heads: int, head_dim: int) -> tuple[Layer, Stage]:
    match spec.over:
        case "head":
            norm = build_norm(spec.norm, head_dim)
            return norm, NormalizeHeads(norm)
        case "each_head":
            norm = build_each_head_norm(spec.norm, heads, head_dim)
            return norm, NormalizeHeads(norm)
        case "width":
            norm = build_norm(spec.norm, heads * head_dim)
            return norm, NormalizeWidth(norm)
        case _:
            assert_never(spec.over)


def scale_by_position(spec: PositionScale) -> Stage:
    """Queries that grow with their position."""
    match spec:
        case FloorLogScale(beta=beta, period=period, shift=shift):
            return ScaleByPosition(FloorLog(beta=beta, period=period, shift=shift))
        case ExpLogScale(beta=beta, period=period, shift=shift):
            return ScaleByPosition(ExpLog(beta=beta, period=period, shift=shift))
        case _:
            assert_never(spec)
