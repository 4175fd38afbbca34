"""Jamba: Mamba's state spaces with attention, without positions, and experts in every other layer."""

from __future__ import annotations

from hf_config.families.jamba import JambaConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import beside_attention, feed_forward_rules
from hf_modeling.families.mixer_parts import each_of
from hf_modeling.families.moe_parts import MOE, expert_rules, mixture, pre_norms, softmax_router
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp
from hf_modeling.spec import DecoderSpec, Mamba1, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: JambaConfig) -> DecoderSpec:
    """The decoder that a Jamba config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    state = Mamba1(
        inner=c.mamba_expand * c.hidden_size,
        state=c.mamba_d_state,
        rank=c.mamba_dt_rank,
        conv=c.mamba_d_conv,
        bias=c.mamba_proj_bias,
        conv_bias=c.mamba_conv_bias,
        activation=activation(c.hidden_act),
        parameter_norm=norm,
    )
    counts = (c.num_experts, c.num_experts_per_tok, c.intermediate_size)
    router, balance = softmax_router(renorm=False), c.router_aux_loss_coef
    sparse, dense = mixture(*counts, c.hidden_act, router, balance=balance), gated_mlp(c)
    ffns = (sparse if experts > 1 else dense for experts in c.layers_num_experts)
    return decoder(c, pre_norms(each_of(c, state, attention(c, None)), ffns, norm), norm)


def weights(c: JambaConfig) -> WeightTable:
    """One tensor for each expert and projection."""
    disk = "model.layers.{layer}.feed_forward."
    return WeightTable(
        rules=(
            *expert_rules(disk),
            rule(disk + "router.weight", MOE + "gate.weight"),
            *beside_attention(c.layer_types),
            *feed_forward_rules(),
        )
    )


FAMILY = Family(
    model_type="jamba",
    config=JambaConfig,
    spec=spec,
    weights=weights,
    classes=classes("Jamba", "sequence-classification"),
)
