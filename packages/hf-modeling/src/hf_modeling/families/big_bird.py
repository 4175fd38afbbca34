"""BigBird: BERT whose blocks of tokens see some blocks, once a text is long; answers read through a network."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.big_bird import BigBirdConfig
from hf_modeling.families.encoder_names import BERT_HEADS, PLAIN_CLASSIFIER, bert_weights
from hf_modeling.families.encoder_parts import (
    JUDGES,
    attention,
    bert,
    classes,
    first_token,
    mlp,
    refuse_decoder,
)
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import AnswerHead, BlockSparseAttention, EmbedScale, EncoderSpec, LayerNorm, Mixer
from hf_modeling.weights.table import WeightTable, rule

HEADS = {
    **{name: to for name, to in BERT_HEADS.items() if name != "classifier.{s}"},
    "classifier.dense.{s}": "head_transform.dense.{s}",
    "classifier.out_proj.{s}": "score.{s}",
    "classifier.{s}": "score.{s}",
    "qa_classifier.intermediate.dense.{s}": "head_transform.mlp.up_proj.{s}",
    "qa_classifier.output.dense.{s}": "head_transform.mlp.down_proj.{s}",
    "qa_classifier.output.LayerNorm.{s}": "head_transform.norm.{s}",
    "qa_classifier.qa_outputs.{s}": "qa_outputs.{s}",
}


def spec(c: BigBirdConfig) -> EncoderSpec:
    """The encoder that a BigBird config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "big_bird")
    head_dim, dropout = c.hidden_size // c.num_attention_heads, c.hidden_dropout_prob
    mixer: Mixer = replace(attention(c), qkv_bias=c.use_bias)
    if c.attention_type == "block_sparse":
        mixer = BlockSparseAttention(
            heads=c.num_attention_heads,
            head_dim=head_dim,
            block=c.block_size,
            drawn=c.num_random_blocks,
            bias=c.use_bias,
            dropout=c.attention_probs_dropout_prob,
        )
    whole, before = bert(c, mixer), dropout if c.classifier_dropout is None else c.classifier_dropout
    scale = EmbedScale(value=math.sqrt(c.hidden_size)) if c.rescale_embeddings else None
    heads = first_token(before, activation(c.hidden_act))
    answer = AnswerHead(
        network=mlp(c), norm=LayerNorm(eps=c.layer_norm_eps), dropout=dropout, separator=c.sep_token_id
    )
    return replace(whole, embed=replace(whole.embed, scale=scale), heads=replace(heads, answer=answer))


def weights(c: BigBirdConfig) -> WeightTable:
    """BERT's names, prefix and all, with heads of its own."""
    return bert_weights(c, "bert.", rule("bert.pooler.{s}", "model.pooler.dense.{s}"), heads=HEADS)


FAMILY = Family(
    model_type="big_bird",
    config=BigBirdConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("BigBird", "masked-lm", "pretraining", *JUDGES),
)
