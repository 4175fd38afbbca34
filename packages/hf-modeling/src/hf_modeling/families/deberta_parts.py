"""What both versions of DeBERTa share: contents and distances apart, a pooler in front of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from hf_modeling.families.encoder_names import BERT_HEADS, BERT_LAYER, bert_weights
from hf_modeling.families.encoder_parts import HasSegments, post_norm, without_segments
from hf_modeling.families.facts import activation
from hf_modeling.spec import (
    DisentangledAttention,
    DistanceTable,
    EncoderHeads,
    EncoderSpec,
    HeadTransform,
    TextHead,
    TokenHead,
)
from hf_modeling.spec.disentangled import Term
from hf_modeling.weights.table import Drop, Rule, WeightTable, drop, rule

TERMS: Final[Mapping[str, Term]] = {"c2p": "content_to_position", "p2c": "position_to_content"}
NEW_HEAD: Final[Mapping[str, str]] = {
    "lm_predictions.lm_head.dense.{s}": "lm_transform.dense.{s}",
    "lm_predictions.lm_head.LayerNorm.{s}": "lm_transform.norm.{s}",
}
"""The vocabulary's head as DeBERTa v3 was published with it."""


class HasDeberta(HasSegments, Protocol):
    """A config with the fields of DeBERTa's encoder."""

    @property
    def relative_attention(self) -> bool: ...
    @property
    def max_relative_positions(self) -> int: ...
    @property
    def position_biased_input(self) -> bool: ...
    @property
    def pos_att_type(self) -> tuple[str, ...] | None: ...
    @property
    def pooler_dropout(self) -> float: ...
    @property
    def pooler_hidden_act(self) -> str: ...
    @property
    def cls_dropout(self) -> float | None: ...
    @property
    def legacy(self) -> bool: ...


def mixer(c: HasDeberta) -> DisentangledAttention:
    """The attention of both versions."""
    terms = c.pos_att_type or ()
    return DisentangledAttention(
        heads=c.num_attention_heads,
        head_dim=c.hidden_size // c.num_attention_heads,
        terms=tuple(meant for name, meant in TERMS.items() if name in terms),
        dropout=c.attention_probs_dropout_prob,
        distance_dropout=c.hidden_dropout_prob,
    )


def reach(c: HasDeberta) -> int:
    """The farthest distance that has a vector, or shares one."""
    return c.max_relative_positions if c.max_relative_positions >= 1 else c.max_position_embeddings


def deberta(c: HasDeberta, attention: DisentangledAttention, table: DistanceTable) -> EncoderSpec:
    """The encoder around the attention; segments say nothing where there are none."""
    whole = without_segments(c)
    embed = replace(whole.embed, token_types=c.type_vocab_size)
    if not c.position_biased_input:
        embed = replace(embed, positions=None)
    dropout = c.hidden_dropout_prob
    text = TextHead(
        reads="first",
        transform=HeadTransform(activation=activation(c.pooler_hidden_act), norm=None),
        input_dropout=c.pooler_dropout,
        dropout=dropout if c.cls_dropout is None else c.cls_dropout,
    )
    return replace(
        whole,
        embed=embed,
        blocks=(post_norm(c, attention),) * c.num_hidden_layers,
        relative=table if c.relative_attention else None,
        pooler=None,
        # The newer head never has a projection of its own.
        head=replace(whole.head, tied=c.tie_word_embeddings or not c.legacy),
        heads=EncoderHeads(text=text, choice=text, token=TokenHead(dropout=dropout)),
    )


def deberta_weights(c: HasDeberta, *more: Rule | Drop, qkv: Mapping[str, str]) -> WeightTable:
    """DeBERTa's names; either name of the vocabulary's head is read, that of the config is written."""
    layer = {name: to for name, to in BERT_LAYER.items() if not name.startswith("attention.self.")} | {
        f"attention.self.{name}": f"self_attn.{to}" for name, to in qkv.items()
    }
    heads = {**BERT_HEADS, **NEW_HEAD} if c.legacy else {**NEW_HEAD, **BERT_HEADS}
    unread = [drop("mask_predictions.{rest}", why="a head that version 3 was trained with beside this one")]
    if not c.position_biased_input:
        positions = "deberta.embeddings.position_embeddings.weight"
        unread.append(drop(positions, why="positions are told by distances alone"))
    new_bias = rule("lm_predictions.lm_head.bias", "lm_head.bias")
    table = bert_weights(
        c,
        "deberta.",
        *more,
        *(() if c.legacy else (new_bias,)),
        *unread,
        rule("deberta.encoder.rel_embeddings.weight", "model.relative.weight"),
        rule("pooler.dense.{s}", "head_transform.dense.{s}"),
        heads=heads,
        layer=layer,
    )
    return replace(table, rules=(*table.rules, new_bias)) if c.legacy else table
