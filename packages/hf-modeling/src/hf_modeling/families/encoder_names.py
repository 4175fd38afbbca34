"""Names that many encoder families have on disk, and the weight tables made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from hf_modeling.weights.table import Drop, Rule, WeightTable, drop, renames, rule

if TYPE_CHECKING:
    from hf_modeling.families.family import Task

BERT_LAYER: Final[Mapping[str, str]] = {
    "attention.self.query.{s}": "self_attn.q_proj.{s}",
    "attention.self.key.{s}": "self_attn.k_proj.{s}",
    "attention.self.value.{s}": "self_attn.v_proj.{s}",
    "attention.output.dense.{s}": "self_attn.o_proj.{s}",
    "attention.output.LayerNorm.{s}": "post_attention_layernorm.{s}",
    "intermediate.dense.{s}": "mlp.up_proj.{s}",
    "output.dense.{s}": "mlp.down_proj.{s}",
    "output.LayerNorm.{s}": "post_feedforward_layernorm.{s}",
}
"""A layer's names on disk, and in memory, in BERT and those who took its code."""

BERT_STEM: Final[Mapping[str, str]] = {
    "word_embeddings.weight": "embed_tokens.weight",
    "position_embeddings.weight": "stem.positions.weight",
    "token_type_embeddings.weight": "stem.token_types.weight",
    "LayerNorm.{s}": "stem.norm.{s}",
}
"""The embeddings' names."""

BERT_HEADS: Final[Mapping[str, str]] = {
    "cls.predictions.transform.dense.{s}": "lm_transform.dense.{s}",
    "cls.predictions.transform.LayerNorm.{s}": "lm_transform.norm.{s}",
    "cls.predictions.decoder.weight": "lm_head.weight",
    "cls.seq_relationship.{s}": "seq_relationship.{s}",
    "classifier.{s}": "score.{s}",
}
"""The names of BERT's heads."""

ROBERTA_HEADS: Final[Mapping[str, str]] = {
    "lm_head.dense.{s}": "lm_transform.dense.{s}",
    "lm_head.layer_norm.{s}": "lm_transform.norm.{s}",
    "lm_head.decoder.weight": "lm_head.weight",
    "classifier.dense.{s}": "head_transform.dense.{s}",
    "classifier.out_proj.{s}": "score.{s}",
    "classifier.{s}": "score.{s}",
}
"""The names of RoBERTa's heads; those that judge tokens or choices are one projection, named like the whole."""

PLAIN_CLASSIFIER: Final[Mapping[Task, Mapping[str, str]]] = {
    "token-classification": {"classifier.out_proj.": "classifier."},
    "multiple-choice": {"classifier.out_proj.": "classifier."},
}
"""The heads of a RoBERTa whose classifier is one projection."""


class HasHead(Protocol):
    """A config that may tie the vocabulary's projection to its embeddings."""

    @property
    def tie_word_embeddings(self) -> bool: ...


def bert_weights(
    c: HasHead,
    prefix: str,
    *more: Rule | Drop,
    heads: Mapping[str, str] = BERT_HEADS,
    layer: Mapping[str, str] = BERT_LAYER,
    stem: Mapping[str, str] = BERT_STEM,
    logits: str = "cls.predictions.",
) -> WeightTable:
    """The names of BERT's checkpoints under the family's own prefix, with the rules `more` in front.

    `logits` is what the names of the vocabulary projection begin with.
    """
    return WeightTable(
        prefix=prefix,
        rules=(
            *more,
            *renames(layer, disk=prefix + "encoder.layer.{layer}.", memory="model.layers.{layer}."),
            *renames(stem, disk=prefix + "embeddings.", memory="model."),
            drop(prefix + "embeddings.position_ids", why="counted, not stored"),
            rule(prefix + "pooler.dense.{s}", "model.pooler.dense.{s}"),
            *renames(heads),
            *logits_bias(logits, tied=c.tie_word_embeddings),
        ),
    )


def roberta_weights(c: HasHead, prefix: str, *more: Rule | Drop) -> WeightTable:
    """The names of RoBERTa's checkpoints under a prefix, with the rules `more` in front."""
    return bert_weights(c, prefix, *more, heads=ROBERTA_HEADS, logits="lm_head.")


def logits_bias(prefix: str, *, tied: bool) -> tuple[Rule | Drop, ...]:
    """Which of the two biases of a vocabulary projection is read: they are one where its weight is tied."""
    outer, inner = prefix + "bias", prefix + "decoder.bias"
    if tied:
        return rule(outer, "lm_head.bias"), drop(inner, why=f"a second name of {outer}")
    return rule(inner, "lm_head.bias"), drop(outer, why="not read where the projection's weight is its own")
