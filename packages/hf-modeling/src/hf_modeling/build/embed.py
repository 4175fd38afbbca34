"""Embeddings: tokens, positions, per-layer inputs."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import nn

from hf_modeling.build.norm import build_norm
from hf_modeling.layers.base import Embedding, Linear
from hf_modeling.layers.embedding import (
    AddedLayer,
    BoxesLayer,
    CellPositionsLayer,
    LearnedPositionsLayer,
    PositionLayer,
    ScaledEmbedding,
    SinusoidPositionsLayer,
    SinusoidTableLayer,
    Stem,
    TokenTypesLayer,
    TypeColumnsLayer,
    TypesLayer,
)
from hf_modeling.layers.per_layer import PerLayerEmbeddingLayer
from hf_modeling.spec import (
    Added,
    Boxes,
    CellPositions,
    Embed,
    EmbedScale,
    LearnedPositions,
    PerLayerEmbedding,
    Positions,
    SinusoidPositions,
    SinusoidTable,
    TypeColumns,
    Types,
)


def build_tokens(spec: Embed, width: int) -> nn.Embedding:
    """The token embedding table, of the table's own width where it has one."""
    dim = spec.dim or width
    if spec.scale is None:
        return Embedding(spec.vocab, dim, padding_id=spec.padding_id)
    cast = _cast(spec.scale)
    return ScaledEmbedding(spec.vocab, dim, spec.scale.value, cast, padding_id=spec.padding_id)


def build_positions(spec: Positions, width: int) -> PositionLayer:
    """What is added to embeddings for their positions."""
    match spec:
        case CellPositions(count=count):
            return CellPositionsLayer(count, width)
        case LearnedPositions(count=count, offset=offset):
            return LearnedPositionsLayer(count, width, offset)
        case SinusoidPositions(range=steps, offset=offset):
            return SinusoidPositionsLayer(width, width // 2 - 1 if steps == "closed" else width / 2, offset)
        case SinusoidTable(count=count, saved=saved):
            return SinusoidTableLayer(count, width, saved=saved)
        case _:
            assert_never(spec)


def build_stem(spec: Embed, width: int) -> Stem | None:
    """What embeddings pass through before the first block; None if that is nothing."""
    dim = spec.dim or width
    project = None if dim == width else Linear(dim, width, bias=spec.projection_bias)
    if spec.projection == "before":
        dim = width
    token_types: TokenTypesLayer | TypeColumnsLayer | None = None
    if isinstance(spec.token_types, TypeColumns):
        token_types = TypeColumnsLayer(spec.token_types.counts, dim)
    elif spec.token_types:
        token_types = TokenTypesLayer(spec.token_types, dim)
    positions = None if spec.positions is None else build_positions(spec.positions, dim)
    norm = None if spec.norm is None else build_norm(spec.norm, dim)
    if not any((project, spec.token_types is not None, spec.added, positions, norm, spec.dropout)):
        return None
    stem = Stem(project if spec.projection == "before" else None, token_types, positions, norm, spec.dropout)
    stem.project_out = project if spec.projection == "after" else None
    stem.positions_last = spec.norm_at == "before_positions"
    stem.ignores_types = spec.token_types == 0
    if spec.added:
        stem.added = nn.ModuleList(build_added(added, dim) for added in spec.added)
    return stem


def build_added(spec: Added, width: int) -> AddedLayer:
    """What is added to embeddings for one more input."""
    match spec:
        case Types(read=read, count=count):
            return TypesLayer(read, count, width)
        case Boxes(count=count):
            return BoxesLayer(count, width)
        case _:
            assert_never(spec)


def build_per_layer(spec: PerLayerEmbedding, width: int, layers: int) -> PerLayerEmbeddingLayer:
    """Each layer's own embeddings of the tokens."""
    return PerLayerEmbeddingLayer(spec.vocab, width, layers, spec.dim, build_norm(spec.norm, spec.dim))


def _cast(scale: EmbedScale) -> torch.dtype | None:
    match scale.cast:
        case "weight":
            return None
        case "bfloat16":
            return torch.bfloat16
        case "float32":
            return torch.float32
        case _:
            assert_never(scale.cast)
