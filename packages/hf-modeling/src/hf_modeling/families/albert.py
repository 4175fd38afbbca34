"""ALBERT: narrow embeddings, and a few blocks of which each runs many times."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.albert import AlbertConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import JUDGES, attention, bert, classes, narrow, post_norm, transform
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, TextHead
from hf_modeling.weights.table import Rule, WeightTable, renames, rule

LAYER = {
    "attention.query.{s}": "self_attn.q_proj.{s}",
    "attention.key.{s}": "self_attn.k_proj.{s}",
    "attention.value.{s}": "self_attn.v_proj.{s}",
    "attention.dense.{s}": "self_attn.o_proj.{s}",
    "attention.LayerNorm.{s}": "post_attention_layernorm.{s}",
    "ffn.{s}": "mlp.up_proj.{s}",
    "ffn_output.{s}": "mlp.down_proj.{s}",
    "full_layer_layer_norm.{s}": "post_feedforward_layernorm.{s}",
}
HEADS = {
    "predictions.dense.{s}": "lm_transform.dense.{s}",
    "predictions.LayerNorm.{s}": "lm_transform.norm.{s}",
    "predictions.decoder.weight": "lm_head.weight",
    "sop_classifier.classifier.{s}": "seq_relationship.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: AlbertConfig) -> EncoderSpec:
    """The encoder that an ALBERT config describes: as many blocks as groups have, run as often as layers are."""
    whole = narrow(bert(c, classifier_dropout=c.classifier_dropout_prob), c.embedding_size)
    inner = range(c.inner_group_num)
    groups = (layer * c.num_hidden_groups // c.num_hidden_layers for layer in range(c.num_hidden_layers))
    return replace(
        whole,
        blocks=(post_norm(c, attention(c)),) * (c.num_hidden_groups * c.inner_group_num),
        order=tuple(group * c.inner_group_num + i for group in groups for i in inner),
        head=replace(whole.head, transform=transform(c, activation(c.hidden_act), c.embedding_size)),
        heads=replace(whole.heads, pair=TextHead(dropout=c.classifier_dropout_prob)),
    )


def weights(c: AlbertConfig) -> WeightTable:
    """ALBERT's own names: blocks by their group and place in it."""
    encoder = "albert.encoder."
    places = ((g, i) for g in range(c.num_hidden_groups) for i in range(c.inner_group_num))
    blocks: list[Rule] = []
    for number, (group, place) in enumerate(places):
        disk = f"{encoder}albert_layer_groups.{group}.albert_layers.{place}."
        blocks += renames(LAYER, disk=disk, memory=f"model.layers.{number}.")
    return bert_weights(
        c,
        "albert.",
        rule(encoder + "embedding_hidden_mapping_in.{s}", "model.stem.project_out.{s}"),
        rule("albert.pooler.{s}", "model.pooler.dense.{s}"),
        *blocks,
        heads=HEADS,
        layer={},
        logits="predictions.",
    )


FAMILY = Family(
    model_type="albert",
    config=AlbertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes("Albert", "masked-lm", "pretraining", *JUDGES),
)
