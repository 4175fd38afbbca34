"""MPNet: RoBERTa without segments, with biases by distance that all layers share."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mpnet import MPNetConfig
from hf_modeling.families.encoder_names import BERT_LAYER, PLAIN_CLASSIFIER, ROBERTA_HEADS, bert_weights
from hf_modeling.families.encoder_parts import (
    JUDGES,
    attention,
    classes,
    counted_after_padding,
    first_token,
    transform,
    without_segments,
)
from hf_modeling.families.family import Family
from hf_modeling.spec import BucketBias, EncoderSpec, SharedBias
from hf_modeling.weights.table import WeightTable, rule

PADDING = 1  # whatever pad_token_id says
LAYER = {
    **{name: to for name, to in BERT_LAYER.items() if not name.startswith("attention.")},
    "attention.attn.q.{s}": "self_attn.q_proj.{s}",
    "attention.attn.k.{s}": "self_attn.k_proj.{s}",
    "attention.attn.v.{s}": "self_attn.v_proj.{s}",
    "attention.attn.o.{s}": "self_attn.o_proj.{s}",
    "attention.LayerNorm.{s}": "post_attention_layernorm.{s}",
}


def spec(c: MPNetConfig) -> EncoderSpec:
    """The encoder that an MPNet config describes."""
    mixer = replace(attention(c), alibi=SharedBias())
    whole = counted_after_padding(without_segments(c, mixer), PADDING)
    return replace(
        whole,
        embed=replace(whole.embed, padding_id=PADDING),
        relative=BucketBias(buckets=c.relative_attention_num_buckets, heads=c.num_attention_heads),
        head=replace(whole.head, transform=transform(c, "gelu")),
        heads=first_token(c.hidden_dropout_prob),
    )


def weights(c: MPNetConfig) -> WeightTable:
    """MPNet's own names."""
    bias = rule("mpnet.encoder.relative_attention_bias.weight", "model.relative.weight")
    return bert_weights(c, "mpnet.", bias, heads=ROBERTA_HEADS, layer=LAYER, logits="lm_head.")


FAMILY = Family(
    model_type="mpnet",
    config=MPNetConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("MPNet", "masked-lm", *JUDGES),
)
