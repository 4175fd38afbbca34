"""BERT: an encoder of post-norm blocks with learned positions, segments and a pooler."""

from __future__ import annotations

from hf_config.families.bert import BertConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    Embed,
    EncoderSpec,
    HeadTransform,
    LayerNorm,
    LearnedPositions,
    LmHead,
    Mlp,
    NormedSum,
    Pooler,
    Sum,
)
from hf_modeling.weights.table import WeightTable, drop, renames, rule

BLOCK = {
    "attention.self.query.{s}": "self_attn.q_proj.{s}",
    "attention.self.key.{s}": "self_attn.k_proj.{s}",
    "attention.self.value.{s}": "self_attn.v_proj.{s}",
    "attention.output.dense.{s}": "self_attn.o_proj.{s}",
    "attention.output.LayerNorm.{s}": "post_attention_layernorm.{s}",
    "intermediate.dense.{s}": "mlp.up_proj.{s}",
    "output.dense.{s}": "mlp.down_proj.{s}",
    "output.LayerNorm.{s}": "post_feedforward_layernorm.{s}",
}
STEM = {
    "word_embeddings.weight": "embed_tokens.weight",
    "position_embeddings.weight": "stem.positions.weight",
    "token_type_embeddings.weight": "stem.token_types.weight",
    "LayerNorm.{s}": "stem.norm.{s}",
}
HEADS = {
    "cls.predictions.transform.dense.{s}": "lm_transform.dense.{s}",
    "cls.predictions.transform.LayerNorm.{s}": "lm_transform.norm.{s}",
    "cls.predictions.decoder.weight": "lm_head.weight",
    "cls.predictions.bias": "lm_head.bias",
    "cls.seq_relationship.{s}": "seq_relationship.{s}",
    "classifier.{s}": "score.{s}",
}


def spec(c: BertConfig) -> EncoderSpec:
    """The encoder that a BERT config describes.

    Raises:
        SpecError: a BERT that reads left to right, or another model's output.
    """
    if c.is_decoder or c.add_cross_attention:
        raise SpecError(
            "this config makes BERT a decoder (is_decoder or add_cross_attention), and 'bert' is an encoder here",
            fix="set both to false in config.json to read text in both directions",
        )
    norm, act, dropout = LayerNorm(eps=c.layer_norm_eps), activation(c.hidden_act), c.hidden_dropout_prob
    attention = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_attention_heads,
        head_dim=c.hidden_size // c.num_attention_heads,
        mask=Bidirectional(),
        qkv_bias=True,
        output_bias=True,
        softmax="input",
        dropout=c.attention_probs_dropout_prob,
    )
    block = NormedSum(
        mixer=attention,
        mixer_norm=norm,
        ffn=Mlp(width=c.intermediate_size, activation=act, bias=True),
        ffn_norm=norm,
        mixer_residual=Sum(dropout=dropout),
        ffn_residual=Sum(dropout=dropout),
    )
    return EncoderSpec(
        width=c.hidden_size,
        embed=Embed(
            vocab=c.vocab_size,
            positions=LearnedPositions(count=c.max_position_embeddings),
            token_types=c.type_vocab_size,
            norm=norm,
            padding_id=c.pad_token_id,
            dropout=dropout,
        ),
        blocks=(block,) * c.num_hidden_layers,
        pooler=Pooler(),
        head=LmHead(
            tied=c.tie_word_embeddings, bias=True, transform=HeadTransform(activation=act, norm=norm)
        ),
        classifier_dropout=dropout if c.classifier_dropout is None else c.classifier_dropout,
    )


def weights(c: BertConfig) -> WeightTable:
    """BERT's own names."""
    return WeightTable(
        prefix="bert.",
        rules=(
            *renames(BLOCK, disk="bert.encoder.layer.{layer}.", memory="model.layers.{layer}."),
            *renames(STEM, disk="bert.embeddings.", memory="model."),
            rule("bert.pooler.dense.{s}", "model.pooler.dense.{s}"),
            *renames(HEADS),
        ),
    )


FAMILY = Family(
    model_type="bert",
    config=BertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    ignored=(
        drop("bert.embeddings.position_ids", why="counted, not stored"),
        drop("cls.predictions.decoder.bias", why="a second name of cls.predictions.bias"),
    ),
    classes={
        "base": "BertModel",
        "masked-lm": "BertForMaskedLM",
        "pretraining": "BertForPreTraining",
        "next-sentence": "BertForNextSentencePrediction",
        "sequence-classification": "BertForSequenceClassification",
        "token-classification": "BertForTokenClassification",
        "question-answering": "BertForQuestionAnswering",
        "multiple-choice": "BertForMultipleChoice",
    },
)
