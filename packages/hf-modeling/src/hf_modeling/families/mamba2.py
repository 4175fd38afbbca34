"""Mamba-2: state spaces with heads, and nothing else."""

from __future__ import annotations

from hf_config.families.mamba2 import Mamba2Config
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import backbone_weights, only
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec, Mamba2, RmsNorm


def spec(c: Mamba2Config) -> DecoderSpec:
    """The decoder that a Mamba-2 config describes."""
    mixer = Mamba2(
        heads=c.num_heads,
        head_dim=c.head_dim,
        groups=c.n_groups,
        state=c.state_size,
        conv=c.conv_kernel,
        norm=RmsNorm(eps=c.layer_norm_epsilon),
        norm_groups=c.n_groups,
        bias=c.use_bias,
        output_bias=c.use_bias,
        conv_bias=c.use_conv_bias,
        activation=activation(c.hidden_act),
        step_limits=c.time_step_limit,
    )
    return only(c, mixer)


FAMILY = Family(
    model_type="mamba2",
    config=Mamba2Config,
    spec=spec,
    weights=backbone_weights,
    classes=classes("Mamba2"),
)
