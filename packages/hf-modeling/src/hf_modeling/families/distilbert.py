"""DistilBERT: BERT without segments or a pooler, half as deep; texts judged by a dense layer over the first token."""

from __future__ import annotations

from hf_config.families.distilbert import DistilBertConfig
from hf_modeling.families.encoder_parts import JUDGES, classes
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import (
    AnswerHead,
    Attention,
    Bidirectional,
    Embed,
    EncoderHeads,
    EncoderSpec,
    HeadTransform,
    LayerNorm,
    LearnedPositions,
    LmHead,
    Mlp,
    NormedSum,
    Sum,
    TextHead,
    TokenHead,
)
from hf_modeling.weights.table import WeightTable, drop, renames

LAYER = {
    "attention.q_lin.{s}": "self_attn.q_proj.{s}",
    "attention.k_lin.{s}": "self_attn.k_proj.{s}",
    "attention.v_lin.{s}": "self_attn.v_proj.{s}",
    "attention.out_lin.{s}": "self_attn.o_proj.{s}",
    "sa_layer_norm.{s}": "post_attention_layernorm.{s}",
    "ffn.lin1.{s}": "mlp.up_proj.{s}",
    "ffn.lin2.{s}": "mlp.down_proj.{s}",
    "output_layer_norm.{s}": "post_feedforward_layernorm.{s}",
}
STEM = {
    "word_embeddings.weight": "embed_tokens.weight",
    "position_embeddings.weight": "stem.positions.weight",
    "LayerNorm.{s}": "stem.norm.{s}",
}
HEADS = {
    "vocab_transform.{s}": "lm_transform.dense.{s}",
    "vocab_layer_norm.{s}": "lm_transform.norm.{s}",
    "vocab_projector.{s}": "lm_head.{s}",
    "pre_classifier.{s}": "head_transform.dense.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: DistilBertConfig) -> EncoderSpec:
    """The encoder that a DistilBERT config describes; sinusoids, where it starts from them, are stored."""
    norm, act = LayerNorm(eps=1e-12), activation(c.activation)
    attention = Attention(
        heads=c.n_heads,
        kv_heads=c.n_heads,
        head_dim=c.dim // c.n_heads,
        mask=Bidirectional(),
        qkv_bias=True,
        output_bias=True,
        softmax="input",
        dropout=c.attention_dropout,
    )
    block = NormedSum(
        mixer=attention,
        mixer_norm=norm,
        ffn=Mlp(width=c.hidden_dim, activation=act, bias=True),
        ffn_norm=norm,
        ffn_residual=Sum(dropout=c.dropout),
    )
    text = TextHead(
        reads="first",
        transform=HeadTransform(activation="relu", norm=None),
        dropout=c.seq_classif_dropout,
    )
    return EncoderSpec(
        width=c.dim,
        embed=Embed(
            vocab=c.vocab_size,
            positions=LearnedPositions(count=c.max_position_embeddings),
            norm=norm,
            padding_id=c.pad_token_id,
            dropout=c.dropout,
        ),
        blocks=(block,) * c.n_layers,
        head=LmHead(
            tied=c.tie_word_embeddings, bias=True, transform=HeadTransform(activation=act, norm=norm)
        ),
        heads=EncoderHeads(
            text=text,
            choice=text,
            token=TokenHead(dropout=c.dropout),
            answer=AnswerHead(dropout=c.qa_dropout),
        ),
    )


def weights(c: DistilBertConfig) -> WeightTable:
    """DistilBERT's own names."""
    return WeightTable(
        prefix="distilbert.",
        rules=(
            *renames(LAYER, disk="distilbert.transformer.layer.{layer}.", memory="model.layers.{layer}."),
            *renames(STEM, disk="distilbert.embeddings.", memory="model."),
            *renames(HEADS),
        ),
    )


FAMILY = Family(
    model_type="distilbert",
    config=DistilBertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    ignored=(drop("distilbert.embeddings.position_ids", why="counted, not stored"),),
    classes=classes("DistilBert", "masked-lm", *JUDGES),
)
