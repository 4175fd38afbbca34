"""Nemotron-H: layers of one part each, a state space, attention without positions, a network or experts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hf_config.families.nemotron_h import NemotronHConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import BACKBONE, backbone
from hf_modeling.families.mixer_parts import ATTENTION, of_kind
from hf_modeling.families.moe_parts import CORRECTION, MOE, drafting, grouped_router
from hf_modeling.families.parts import attention, classes, decoder
from hf_modeling.spec import (
    Block,
    DecoderSpec,
    FfnOnly,
    Mamba2,
    MixerOnly,
    Mlp,
    Moe,
    PlainExperts,
    RmsNorm,
    SharedExpert,
)
from hf_modeling.weights.ops import Stack
from hf_modeling.weights.table import WeightTable, rule


def spec(c: NemotronHConfig) -> DecoderSpec:
    """The decoder that a Nemotron-H config describes."""
    norm = RmsNorm(eps=c.layer_norm_epsilon, cast="after_weight")
    blocks: Mapping[str, Block] = {
        "linear_attention": MixerOnly(mixer=state_space(c), norm=norm),
        "full_attention": MixerOnly(mixer=attention(c, None, c.head_dim), norm=norm),
        "mlp": FfnOnly(ffn=network(c, c.intermediate_size), norm=norm),
        "moe": FfnOnly(ffn=moe(c), norm=norm),
    }
    return decoder(c, (blocks[kind] for kind in c.layers_block_type), norm)


def state_space(c: NemotronHConfig) -> Mamba2:
    """Steps are bounded below only, whatever the config's limit says."""
    return Mamba2(
        heads=c.mamba_num_heads,
        head_dim=c.mamba_head_dim,
        groups=c.n_groups,
        state=c.ssm_state_size,
        conv=c.conv_kernel,
        norm=RmsNorm(eps=c.layer_norm_epsilon),
        norm_groups=c.n_groups,
        bias=c.use_bias,
        output_bias=c.use_bias,
        conv_bias=c.use_conv_bias,
        activation=activation(c.mamba_hidden_act),
        step_limits=(c.time_step_min, math.inf),
    )


def network(c: NemotronHConfig, width: int) -> Mlp:
    """A network without a gate."""
    return Mlp(width=width, activation=activation(c.mlp_hidden_act), bias=c.mlp_bias)


def moe(c: NemotronHConfig) -> Moe:
    """Experts without gates, in a smaller space if the config has one, beside one for every token."""
    kind = activation(c.mlp_hidden_act)
    return Moe(
        count=c.n_routed_experts,
        top_k=c.num_experts_per_tok,
        width=c.moe_intermediate_size,
        router=grouped_router(c),
        experts=PlainExperts(activation=kind),
        shared=SharedExpert(
            width=c.moe_shared_expert_intermediate_size, activation=kind, form="plain", bias=c.mlp_bias
        ),
        latent=c.moe_latent_size,
    )


def weights(c: NemotronHConfig) -> WeightTable:
    """Whatever a layer's part is, it is its mixer on disk."""
    disk, kinds = BACKBONE + "mixer.", c.layers_block_type
    mixers = of_kind(kinds, "linear_attention") | of_kind(kinds, "full_attention")
    experts = of_kind(kinds, "moe")
    stacks = (
        rule(
            f"{disk}experts.{{expert}}.{name}_proj.weight",
            f"{MOE}experts.{name}_proj",
            Stack(),
            layers=experts,
        )
        for name in ("up", "down")
    )
    parts = (
        *stacks,
        rule(disk + "shared_experts.{rest}", MOE + "shared_expert.mlp.{rest}", layers=experts),
        rule(disk + "{rest}", ATTENTION + "{rest}", layers=mixers),
        rule(disk + "{rest}", MOE + "{rest}"),
    )
    return replace(backbone(*parts), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="nemotron_h",
    config=NemotronHConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    classes=classes("NemotronH"),
)
