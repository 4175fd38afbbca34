"""RoFormer: BERT whose positions turn queries and keys, with narrow embeddings where it likes."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.roformer import RoFormerConfig
from hf_modeling.families.encoder_names import BERT_HEADS, PLAIN_CLASSIFIER, bert_weights
from hf_modeling.families.encoder_parts import (
    JUDGES,
    attention,
    bert,
    classes,
    first_token,
    narrow,
    refuse_decoder,
    transform,
)
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, Rope, TextHead
from hf_modeling.weights.table import WeightTable, drop, rule

HEADS = {
    **{name: to for name, to in BERT_HEADS.items() if name != "classifier.{s}"},
    "classifier.dense.{s}": "head_transform.dense.{s}",
    "classifier.out_proj.{s}": "score.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: RoFormerConfig) -> EncoderSpec:
    """The encoder that a RoFormer config describes; choices are read from the last token.

    Raises SpecError for one that makes a decoder.
    """
    refuse_decoder(c, "roformer")
    turn = Rope(theta=10_000.0, dim=c.hidden_size // c.num_attention_heads, layout="interleaved")
    mixer = replace(attention(c), rope=turn, value_rope=turn if c.rotary_value else None)
    whole, act = bert(c, mixer), activation(c.hidden_act)
    whole = replace(whole, pooler=None, embed=replace(whole.embed, positions=None))
    if c.embedding_size != c.hidden_size:
        whole = narrow(whole, c.embedding_size)
    return replace(
        whole,
        head=replace(whole.head, transform=transform(c, act, c.embedding_size)),
        heads=first_token(c.hidden_dropout_prob, act, choice=TextHead(reads="last", dropout=0.0)),
    )


def weights(c: RoFormerConfig) -> WeightTable:
    """BERT's names under RoFormer's prefix."""
    return bert_weights(
        c,
        "roformer.",
        rule("roformer.embeddings_project.{s}", "model.stem.project_out.{s}"),
        drop("roformer.encoder.embed_positions.weight", why="sines and cosines, reckoned anew"),
        heads=HEADS,
    )


FAMILY = Family(
    model_type="roformer",
    config=RoFormerConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("RoFormer", "masked-lm", *JUDGES),
)
