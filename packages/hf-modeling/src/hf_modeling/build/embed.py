"""Embeddings: tokens, positions, per-layer inputs."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import nn

from hf_modeling.build.norm import build_norm
from hf_modeling.layers.base import Embedding, Linear
from hf_modeling.layers.embedding import (
    LearnedPositionsLayer,
    PositionLayer,
    ScaledEmbedding,
    SinusoidPositionsLayer,
    Stem,
    TokenTypesLayer,
)
from hf_modeling.layers.per_layer import PerLayerEmbeddingLayer
from hf_modeling.spec import (
    Embed,
    EmbedScale,
    LearnedPositions,
    PerLayerEmbedding,
    Positions,
    SinusoidPositions,
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
        case LearnedPositions(count=count, offset=offset):
            return LearnedPositionsLayer(count, width, offset)
        case SinusoidPositions(range=steps, offset=offset):
            return SinusoidPositionsLayer(width, width // 2 - 1 if steps == "closed" else width / 2, offset)
        case _:
            assert_never(spec)


def build_stem(spec: Embed, width: int) -> Stem | None:
    """What embeddings pass through before the first block; None if that is nothing."""
    dim = spec.dim or width
    project_in = None if dim == width else Linear(dim, width, bias=spec.projection_bias)
    token_types = None if spec.token_types is None else TokenTypesLayer(spec.token_types, width)
    positions = None if spec.positions is None else build_positions(spec.positions, width)
    norm = None if spec.norm is None else build_norm(spec.norm, width)
    if not any((project_in, token_types, positions, norm, spec.dropout)):
        return None
    return Stem(project_in, token_types, positions, norm, spec.dropout)


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
