"""RemBERT: BERT with narrow input embeddings and a wide output projection of its own."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.rembert import RemBertConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import JUDGES, bert, classes, narrow, refuse_decoder, transform
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable, rule

HEADS = {
    "cls.predictions.dense.{s}": "lm_transform.dense.{s}",
    "cls.predictions.LayerNorm.{s}": "lm_transform.norm.{s}",
    "cls.predictions.decoder.{s}": "lm_head.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: RemBertConfig) -> EncoderSpec:
    """The encoder that a RemBERT config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "rembert")
    whole = narrow(bert(c, classifier_dropout=c.classifier_dropout_prob), c.input_embedding_size)
    widened = transform(c, activation(c.hidden_act), c.output_embedding_size)
    # The output is as wide as it likes: it is never the input's table.
    return replace(whole, head=replace(whole.head, tied=False, transform=widened))


def weights(c: RemBertConfig) -> WeightTable:
    """BERT's names under RemBERT's prefix."""
    projection = rule("rembert.encoder.embedding_hidden_mapping_in.{s}", "model.stem.project_out.{s}")
    return bert_weights(c, "rembert.", projection, heads=HEADS)


FAMILY = Family(
    model_type="rembert",
    config=RemBertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes("RemBert", "masked-lm", *JUDGES),
)
