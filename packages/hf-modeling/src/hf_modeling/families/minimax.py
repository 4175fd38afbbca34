"""MiniMax-Text-01: lightning attention and full attention in turn, experts, and a stream that stays normalised."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.minimax import MiniMaxConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import ATTENTION
from hf_modeling.families.moe_parts import BLOCK, MOE, expert_rules, mixture, softmax_router
from hf_modeling.families.parts import ALL_HEADS, attention, classes, decoder, one_rope, window
from hf_modeling.spec import DecoderSpec, Lightning, NormedStream, RmsNorm, Weighted
from hf_modeling.weights.table import WeightTable, drop, rule


def spec(c: MiniMaxConfig) -> DecoderSpec:
    """The decoder that a MiniMax config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    full = replace(attention(c, one_rope(c, c.head_dim), c.head_dim), mask=window(c.sliding_window))
    counts = (c.num_local_experts, c.num_experts_per_tok, c.intermediate_size)
    router = softmax_router(renorm=True)
    moe = mixture(*counts, c.hidden_act, router, balance=c.router_aux_loss_coef)
    mlp = Weighted(stream=c.mlp_alpha_factor, branch=c.mlp_beta_factor)
    wide = Weighted(stream=c.full_attn_alpha_factor, branch=c.full_attn_beta_factor)
    fast = Weighted(stream=c.linear_attn_alpha_factor, branch=c.linear_attn_beta_factor)
    blocks = (
        NormedStream(
            mixer=lightning(c, layer) if kind == "linear_attention" else full,
            mixer_norm=norm,
            ffn=moe,
            ffn_norm=norm,
            mixer_residual=fast if kind == "linear_attention" else wide,
            ffn_residual=mlp,
        )
        for layer, kind in enumerate(c.layer_types)
    )
    return decoder(c, blocks, norm)


def lightning(c: MiniMaxConfig, layer: int) -> Lightning:
    """Decays like ALiBi's slopes, slower in later layers; the small numbers keep the last layer's above zero."""
    heads = c.num_attention_heads
    slower = 1 - layer / (c.num_hidden_layers - 1 + 1e-5) + 1e-5
    rates = tuple(2 ** (-8 * head / heads) * slower for head in range(1, heads + 1))
    return Lightning(
        head_dim=c.head_dim, rates=rates, norm=RmsNorm(eps=1e-6), activation=activation(c.hidden_act)
    )


def weights(c: MiniMaxConfig) -> WeightTable:
    """w1 is an expert's gate, w3 up, w2 down; decays are stored beside the weights they follow from."""
    experts = expert_rules(BLOCK, gate="w1", up="w3", down="w2")
    return WeightTable(rules=(*experts, rule(BLOCK + "gate.weight", MOE + "gate.weight")))


FAMILY = Family(
    model_type="minimax",
    config=MiniMaxConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drop(
            *(ATTENTION + name for name in ("slope_rate", "query_decay", "key_decay", "diagonal_decay")),
            why="recomputed from the config",
        ),
    ),
    classes=classes("MiniMax", *ALL_HEADS),
)
