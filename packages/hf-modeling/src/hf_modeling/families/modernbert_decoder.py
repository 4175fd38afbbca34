"""ModernBERT decoder: norms without biases, windows on two of three layers, a transformed head."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.modernbert_decoder import ModernBertDecoderConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, each_kind, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, GatedMlp, HeadTransform, LayerNorm, LmHead, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: ModernBertDecoderConfig) -> DecoderSpec:
    """The decoder that a ModernBERT decoder config describes; its first layer's attention has no norm."""
    norm, join = LayerNorm(eps=c.norm_eps, bias=c.norm_bias), Sum(dropout=c.mlp_dropout)
    mixer = many_heads(c, c.attention_dropout, bias=c.attention_bias)
    act = activation(c.hidden_activation)
    ffn = GatedMlp(width=c.intermediate_size, activation=act, bias=c.mlp_bias)
    blocks = [replace(pre_norm(one, ffn, norm), ffn_residual=join) for one in each_kind(mixer, c)]
    blocks[0] = replace(blocks[0], mixer_norm=None)
    transform = HeadTransform(
        activation=activation(c.classifier_activation), norm=norm, bias=c.classifier_bias
    )
    head = LmHead(tied=c.tie_word_embeddings, bias=c.decoder_bias, transform=transform)
    whole = decoder(c, blocks, norm, head=head)
    embed = replace(whole.embed, norm=norm, dropout=c.embedding_dropout)
    return replace(whole, embed=embed, classifier_dropout=c.classifier_dropout)


def weights(c: ModernBertDecoderConfig) -> WeightTable:
    """ModernBERT's own names; the gate's activated half comes first."""
    layer = "model.layers.{layer}."
    names = {
        "attn_norm.{s}": "input_layernorm.{s}",
        "mlp_norm.{s}": "post_attention_layernorm.{s}",
        "attn.q_proj.{s}": "self_attn.q_proj.{s}",
        "attn.k_proj.{s}": "self_attn.k_proj.{s}",
        "attn.v_proj.{s}": "self_attn.v_proj.{s}",
        "attn.Wo.{s}": "self_attn.o_proj.{s}",
        "mlp.Wo.{s}": "mlp.down_proj.{s}",
    }
    outer = {
        "model.embeddings.tok_embeddings.weight": "model.embed_tokens.weight",
        "model.embeddings.norm.{s}": "model.stem.norm.{s}",
        "model.final_norm.{s}": "model.norm.{s}",
        "lm_head.dense.{s}": "lm_transform.dense.{s}",
        "lm_head.norm.{s}": "lm_transform.norm.{s}",
        "decoder.{s}": "lm_head.{s}",
    }
    halves = (layer + "mlp.gate_proj.{s}", layer + "mlp.up_proj.{s}")
    return WeightTable(
        rules=(
            *renames(outer),
            *renames(names, disk=layer, memory=layer),
            rule(layer + "mlp.Wi.{s}", halves, Split((c.intermediate_size,) * 2)),
        )
    )


FAMILY = Family(
    model_type="modernbert-decoder",
    config=ModernBertDecoderConfig,
    spec=spec,
    weights=weights,
    classes=classes("ModernBertDecoder"),
)
