"""CodeGen: GPT-J with queries, values and keys fused in four blocks."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.codegen import CodeGenConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, many_heads
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Mlp, Parallel, Rope, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: CodeGenConfig) -> DecoderSpec:
    """The decoder that a CodeGen config describes."""
    norm = LayerNorm(eps=c.layer_norm_epsilon)
    turn = Rope(theta=10000.0, dim=c.rotary_dim, layout="interleaved")
    mixer = replace(many_heads(c, c.attn_pdrop, bias=False), rope=turn, scores="float32")
    ffn = Mlp(width=c.n_inner or 4 * c.n_embd, activation=activation(c.activation_function), bias=True)
    join = Sum(dropout=c.resid_pdrop)
    block = Parallel(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=None, residual=join)
    head = LmHead(tied=c.tie_word_embeddings, bias=True)
    whole = decoder(c, [block] * c.num_hidden_layers, norm, head=head)
    return replace(whole, embed=replace(whole.embed, dropout=c.embd_pdrop))


def weights(c: CodeGenConfig) -> WeightTable:
    """Rows of the fused projection are four blocks (the cores it was trained on), each queries, values, keys."""
    layer, memory = "transformer.h.{layer}.", "model.layers.{layer}."
    parts = tuple(f"{memory}self_attn.{part}_proj.weight" for part in "qvk")
    names = {
        "ln_1.{s}": "input_layernorm.{s}",
        "attn.out_proj.weight": "self_attn.o_proj.weight",
        "mlp.fc_in.{s}": "mlp.up_proj.{s}",
        "mlp.fc_out.{s}": "mlp.down_proj.{s}",
    }
    outer = {"wte.weight": "embed_tokens.weight", "ln_f.{s}": "norm.{s}"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "attn.qkv_proj.weight", parts, Split((c.n_embd // 4,) * 3, groups=4)),
        ),
    )


FAMILY = Family(
    model_type="codegen",
    config=CodeGenConfig,
    spec=spec,
    weights=weights,
    ignored=(drop("transformer.h.{layer}.attn.causal_mask", why="the causal mask, not a weight"),),
    classes=classes("CodeGen"),
)
