"""ModernBERT: norms first, rotary positions, gated networks; every few layers see everything, others a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hf_config.families.modernbert import ModernBertConfig
from hf_modeling.families.encoder_parts import JUDGES, classes
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.family import Family
from hf_modeling.spec import (
    AnswerHead,
    Attention,
    Bidirectional,
    BidirectionalWindow,
    Embed,
    EncoderHeads,
    EncoderSpec,
    GatedMlp,
    HeadTransform,
    LayerNorm,
    LmHead,
    MaskRule,
    PreNorm,
    Sum,
    TextHead,
    TokenHead,
)
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule

OUTER = {
    "model.embeddings.tok_embeddings.weight": "model.embed_tokens.weight",
    "model.embeddings.norm.{s}": "model.stem.norm.{s}",
    "model.final_norm.{s}": "model.norm.{s}",
    "head.dense.{s}": "lm_transform.dense.{s}",
    "head.norm.{s}": "lm_transform.norm.{s}",
    "decoder.{s}": "lm_head.{s}",
    "classifier.{s}": "score.{s}",
    "qa_outputs.{s}": "qa_outputs.{s}",
}
LAYER = {
    "attn_norm.{s}": "input_layernorm.{s}",
    "mlp_norm.{s}": "post_attention_layernorm.{s}",
    "attn.Wo.{s}": "self_attn.o_proj.{s}",
    "mlp.Wo.{s}": "mlp.down_proj.{s}",
}


def spec(c: ModernBertConfig) -> EncoderSpec:
    """The encoder that a ModernBERT config describes; its first layer's attention has no norm."""
    norm, head_dim = LayerNorm(eps=c.norm_eps, bias=c.norm_bias), c.hidden_size // c.num_attention_heads
    masks: dict[str, MaskRule] = {"full_attention": Bidirectional()}
    masks["sliding_attention"] = BidirectionalWindow(size=c.sliding_window + 1)
    mixer = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_attention_heads,
        head_dim=head_dim,
        qkv_bias=c.attention_bias,
        output_bias=c.attention_bias,
        dropout=c.attention_dropout,
    )
    block = PreNorm(
        mixer=mixer,
        mixer_norm=norm,
        ffn=GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_activation), bias=c.mlp_bias),
        ffn_norm=norm,
        mixer_residual=Sum(dropout=c.attention_dropout),
        ffn_residual=Sum(dropout=c.mlp_dropout),
    )
    turns = {
        kind: rope(settings, head_dim, c.max_position_embeddings, apply="float32")
        for kind, settings in c.rope_parameters.items()
    }
    blocks = [replace(block, mixer=replace(mixer, mask=masks[k], rope=turns[k])) for k in c.layer_types]
    blocks[0] = replace(blocks[0], mixer_norm=None)
    transform = HeadTransform(
        activation=activation(c.classifier_activation), norm=norm, bias=c.classifier_bias
    )
    reads: Literal["first", "mean"] = "first" if c.classifier_pooling == "cls" else "mean"
    text = TextHead(reads=reads, transform=transform, dropout=c.classifier_dropout)
    token = TokenHead(transform=transform, dropout=c.classifier_dropout)
    answer = AnswerHead(transform=transform, dropout=c.classifier_dropout)
    return EncoderSpec(
        width=c.hidden_size,
        embed=Embed(vocab=c.vocab_size, norm=norm, padding_id=c.pad_token_id, dropout=c.embedding_dropout),
        blocks=tuple(blocks),
        norm=norm,
        head=LmHead(tied=c.tie_word_embeddings, bias=c.decoder_bias, transform=transform),
        heads=EncoderHeads(text=text, choice=text, token=token, answer=answer),
    )


def weights(c: ModernBertConfig) -> WeightTable:
    """ModernBERT's own names; the gate's activated half comes first."""
    layer = "model.layers.{layer}."
    qkv = tuple(f"{layer}self_attn.{part}_proj.{{s}}" for part in "qkv")
    halves = tuple(f"{layer}mlp.{part}_proj.{{s}}" for part in ("gate", "up"))
    return WeightTable(
        rules=(
            *renames(OUTER),
            *renames({f"head.{part}": f"head_transform.{part}" for part in ("dense.{s}", "norm.{s}")}),
            *renames(LAYER, disk=layer, memory=layer),
            rule(layer + "attn.Wqkv.{s}", qkv, Split((c.hidden_size,) * 3)),
            rule(layer + "mlp.Wi.{s}", halves, Split((c.intermediate_size,) * 2)),
        )
    )


FAMILY = Family(
    model_type="modernbert",
    config=ModernBertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins={"question-answering": {"qa_outputs.": "classifier."}},
    classes=classes("ModernBert", "masked-lm", *JUDGES),
)
