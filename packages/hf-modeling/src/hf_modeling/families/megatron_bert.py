"""Megatron-BERT: BERT with norms before each part and one at the end, none on the embeddings."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.megatron_bert import MegatronBertConfig
from hf_modeling.families.encoder_names import BERT_LAYER, bert_weights
from hf_modeling.families.encoder_parts import JUDGES, attention, bert, classes, pre_norm, refuse_decoder
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, LayerNorm
from hf_modeling.weights.table import WeightTable, rule

LAYER = {
    **{name: to for name, to in BERT_LAYER.items() if "LayerNorm" not in name},
    "attention.ln.{s}": "input_layernorm.{s}",
    "ln.{s}": "post_attention_layernorm.{s}",
}


def spec(c: MegatronBertConfig) -> EncoderSpec:
    """The encoder that a Megatron-BERT config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "megatron-bert")
    whole = bert(c)
    return replace(
        whole,
        embed=replace(whole.embed, norm=None),
        blocks=(pre_norm(c, attention(c)),) * c.num_hidden_layers,
        norm=LayerNorm(eps=c.layer_norm_eps),
    )


def weights(c: MegatronBertConfig) -> WeightTable:
    """BERT's names, prefix and all, but for the norms."""
    return bert_weights(c, "bert.", rule("bert.encoder.ln.{s}", "model.norm.{s}"), layer=LAYER)


FAMILY = Family(
    model_type="megatron-bert",
    config=MegatronBertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes("MegatronBert", "masked-lm", "pretraining", "next-sentence", *JUDGES),
)
