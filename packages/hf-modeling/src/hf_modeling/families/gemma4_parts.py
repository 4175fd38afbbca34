"""What the text models of Gemma 4 share: full layers with heads of their own, and layers that borrow keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from hf_modeling.errors import SpecError
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.parts import HasHeads, HasLayerKinds, HasStack, attention, decoder, masks
from hf_modeling.spec import (
    Attention,
    Block,
    DecoderSpec,
    EmbedScale,
    GatedMlp,
    KeyAsValue,
    LmHead,
    QkNorm,
    RmsNorm,
    SharedKeyValue,
)
from hf_modeling.weights.table import Drop, drop

if TYPE_CHECKING:
    from hf_config.rope import RopeParameters


class HasGemma4(HasHeads, HasLayerKinds, HasStack, Protocol):
    """The config of a Gemma 4 text model."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def num_kv_shared_layers(self) -> int: ...
    @property
    def intermediate_size(self) -> int: ...
    @property
    def hidden_activation(self) -> str: ...
    @property
    def use_double_wide_mlp(self) -> bool: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def attention_bias(self) -> bool: ...
    @property
    def attention_k_eq_v(self) -> bool: ...
    @property
    def per_layer_config(self) -> Mapping[int, Mapping[str, int]]: ...
    @property
    def rope_parameters(self) -> Mapping[str, RopeParameters]: ...
    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def rms_norm_eps(self) -> float: ...
    @property
    def final_logit_softcapping(self) -> float | None: ...
    @property
    def use_bidirectional_attention(self) -> Literal["all", "vision"] | None: ...


def gemma4_norm(c: HasGemma4) -> RmsNorm:
    """The norm of every place."""
    return RmsNorm(eps=c.rms_norm_eps, cast="after_weight")


def lenders(c: HasGemma4) -> Mapping[int, int]:
    """The layers that have no keys of their own, each with the one it borrows from: the last of its kind."""
    kinds, own = c.layer_types, c.num_hidden_layers - c.num_kv_shared_layers
    last = {kind: layer for layer, kind in enumerate(kinds[:own])}
    return {layer: last[kinds[layer]] for layer in range(own, c.num_hidden_layers)}


def gemma4_mixers(c: HasGemma4) -> list[Attention]:
    """The attention of every layer.

    Raises:
        SpecError: the config asks for attention in both directions.
    """
    if c.use_bidirectional_attention == "all":
        raise SpecError(
            'use_bidirectional_attention "all" makes an encoder of the decoder',
            fix="load a causal checkpoint",
        )
    norm, borrowed = gemma4_norm(c), lenders(c)
    plain = replace(
        attention(c, None, c.head_dim, bias=c.attention_bias),
        scale=1.0,
        qk_norm=QkNorm(norm=norm),
        value_norm=replace(norm, weight="none"),
    )
    mixers = []
    for layer, (kind, mask) in enumerate(zip(c.layer_types, masks(c), strict=True)):
        own = c.per_layer_config.get(layer, {})
        head_dim = own.get("head_dim", c.head_dim)
        one = replace(
            plain,
            mask=mask,
            head_dim=head_dim,
            kv_heads=own.get("num_key_value_heads", c.num_key_value_heads),
            rope=rope(c.rope_parameters[kind], head_dim, c.max_position_embeddings),
        )
        if layer in borrowed:
            one = replace(one, kv=SharedKeyValue(layer=borrowed[layer]))
        elif c.attention_k_eq_v and kind == "full_attention":
            one = replace(one, kv=KeyAsValue())
        mixers.append(one)
    return mixers


def gemma4_mlps(c: HasGemma4) -> list[GatedMlp]:
    """The feed-forward network of every layer: perhaps of twice the width where keys are borrowed."""
    borrowed, kind = lenders(c), activation(c.hidden_activation)
    wide = c.intermediate_size * (2 if c.use_double_wide_mlp else 1)
    widths = (wide if layer in borrowed else c.intermediate_size for layer in range(c.num_hidden_layers))
    return [GatedMlp(width=width, activation=kind) for width in widths]


def gemma4_decoder(c: HasGemma4, blocks: Iterable[Block]) -> DecoderSpec:
    """A decoder of these blocks over embeddings times the square root of their width."""
    scale = EmbedScale(value=math.sqrt(c.hidden_size), cast="weight")
    head = LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping)
    return decoder(c, blocks, gemma4_norm(c), scale=scale, head=head)


def borrowed_keys(c: HasGemma4) -> Drop:
    """What checkpoints store for layers that borrow."""
    layer = "model.layers.{layer}.self_attn."
    return drop(
        *(layer + name + ".{s}" for name in ("k_proj", "v_proj", "k_norm")),
        why="the layer borrows the keys and values of an earlier one",
        layers=frozenset(lenders(c)),
    )
