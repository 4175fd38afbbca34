"""Attention to an encoder."""

from __future__ import annotations

from hf_modeling.build.attention import choose_attend
from hf_modeling.build.shared import Building
from hf_modeling.layers.attend import EagerAttend
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.cross import CrossAttentionLayer
from hf_modeling.spec import Bidirectional, CrossAttention


def build_cross(spec: CrossAttention, layer: int, building: Building) -> CrossAttentionLayer:
    """The attention to the encoder of layer number `layer`. Raises as `choose_attend`."""
    eager = EagerAttend(scale=spec.head_dim**-0.5 if spec.scale is None else spec.scale)
    rule = Bidirectional()
    scoring = Scoring(
        attend=choose_attend(eager, rule, building.backend), eager=eager, rule=rule, dropout=spec.dropout
    )
    return CrossAttentionLayer(
        building.width,
        spec.source_width or building.width,
        spec.heads,
        spec.head_dim,
        layer,
        scoring,
        qkv_bias=spec.qkv_bias,
        output_bias=spec.output_bias,
    )
