"""ELECTRA: BERT with narrow embeddings and no pooler, trained to find the tokens that a small BERT replaced."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.electra import ElectraConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.encoder_names import PLAIN_CLASSIFIER, bert_weights
from hf_modeling.families.encoder_parts import (
    JUDGES,
    bert,
    classes,
    first_token,
    narrow,
    refuse_decoder,
    transform,
)
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, HeadTransform, TextHead
from hf_modeling.weights.table import WeightTable, rule

HEADS = {
    "generator_predictions.dense.{s}": "lm_transform.dense.{s}",
    "generator_predictions.LayerNorm.{s}": "lm_transform.norm.{s}",
    "generator_lm_head.{s}": "lm_head.{s}",
    "discriminator_predictions.dense.{s}": "detector_transform.dense.{s}",
    "discriminator_predictions.dense_prediction.{s}": "detector.{s}",
    "classifier.dense.{s}": "head_transform.dense.{s}",
    "classifier.out_proj.{s}": "score.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: ElectraConfig) -> EncoderSpec:
    """The encoder that an ELECTRA config describes.

    Raises SpecError for one that makes a decoder, or that summarises choices by another token than the first.
    """
    refuse_decoder(c, "electra")
    if c.summary_type != "first":
        raise SpecError(
            f"summary_type {c.summary_type!r}: choices are read from the first token",
            fix="set summary_type to 'first' in config.json",
        )
    dropout = c.hidden_dropout_prob if c.classifier_dropout is None else c.classifier_dropout
    projected = HeadTransform(activation=activation(c.summary_activation or "linear"), norm=None)
    choice = TextHead(
        reads="first", transform=projected if c.summary_use_proj else None, dropout=c.summary_last_dropout
    )
    heads = replace(
        first_token(dropout, "gelu", choice=choice),
        detector=HeadTransform(activation=activation(c.hidden_act), norm=None),
    )
    whole = narrow(bert(c), c.embedding_size)
    head = replace(whole.head, transform=transform(c, "gelu", c.embedding_size))
    return replace(whole, pooler=None, head=head, heads=heads)


def weights(c: ElectraConfig) -> WeightTable:
    """BERT's names for the encoder, ELECTRA's for its heads."""
    projection = rule("electra.embeddings_project.{s}", "model.stem.project_out.{s}")
    return bert_weights(c, "electra.", projection, heads=HEADS)


FAMILY = Family(
    model_type="electra",
    config=ElectraConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins={
        "token-classification": PLAIN_CLASSIFIER["token-classification"],
        "multiple-choice": {
            "classifier.dense.": "sequence_summary.summary.",
            "classifier.out_proj.": "classifier.",
        },
    },
    classes=classes("Electra", "masked-lm", "replaced-tokens", *JUDGES),
)
