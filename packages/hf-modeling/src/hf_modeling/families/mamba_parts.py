"""State spaces as several families have them, and how checkpoints name their parts."""

from __future__ import annotations

from typing import Protocol

from hf_modeling.families.facts import activation
from hf_modeling.families.mixer_parts import ATTENTION, of_kind
from hf_modeling.families.parts import HasStack, decoder
from hf_modeling.spec import DecoderSpec, Mamba1, Mamba2, Mixer, MixerOnly, Norm, RmsNorm, Sum, WideSum
from hf_modeling.weights.table import Rule, WeightTable, renames, rule

BACKBONE = "backbone.layers.{layer}."
"""A layer on disk in families of Mamba's."""


class HasStateOnly(HasStack, Protocol):
    """A config of a model that is nothing but state spaces."""

    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def layer_norm_epsilon(self) -> float: ...
    @property
    def residual_in_fp32(self) -> bool: ...


class HasMamba1(HasStateOnly, Protocol):
    """A config with Mamba's state spaces."""

    @property
    def intermediate_size(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def time_step_rank(self) -> int: ...
    @property
    def conv_kernel(self) -> int: ...
    @property
    def use_bias(self) -> bool: ...
    @property
    def use_conv_bias(self) -> bool: ...
    @property
    def hidden_act(self) -> str: ...


class HasMamba2(Protocol):
    """A config with Mamba-2's state spaces beside attention."""

    @property
    def mamba_n_heads(self) -> int: ...
    @property
    def mamba_d_head(self) -> int: ...
    @property
    def mamba_n_groups(self) -> int: ...
    @property
    def mamba_d_state(self) -> int: ...
    @property
    def mamba_d_conv(self) -> int: ...
    @property
    def mamba_conv_bias(self) -> bool: ...
    @property
    def mamba_proj_bias(self) -> bool: ...
    @property
    def time_step_limit(self) -> tuple[float, float]: ...
    @property
    def hidden_act(self) -> str: ...
    @property
    def rms_norm_eps(self) -> float: ...


def mamba1(c: HasMamba1, parameter_norm: Norm | None = None) -> Mamba1:
    """Mamba's state space."""
    return Mamba1(
        inner=c.intermediate_size,
        state=c.state_size,
        rank=c.time_step_rank,
        conv=c.conv_kernel,
        bias=c.use_bias,
        conv_bias=c.use_conv_bias,
        activation=activation(c.hidden_act),
        parameter_norm=parameter_norm,
    )


def mamba2(c: HasMamba2) -> Mamba2:
    """Mamba-2's state space, its gated output normalised in as many parts as there are groups."""
    return Mamba2(
        heads=c.mamba_n_heads,
        head_dim=c.mamba_d_head,
        groups=c.mamba_n_groups,
        state=c.mamba_d_state,
        conv=c.mamba_d_conv,
        norm=RmsNorm(eps=c.rms_norm_eps),
        norm_groups=c.mamba_n_groups,
        bias=c.mamba_proj_bias,
        output_bias=c.mamba_proj_bias,
        conv_bias=c.mamba_conv_bias,
        activation=activation(c.hidden_act),
        step_limits=c.time_step_limit,
    )


def only(c: HasStateOnly, mixer: Mixer) -> DecoderSpec:
    """A decoder whose layers are a norm and this mixer."""
    wide = c.residual_in_fp32
    norm = RmsNorm(eps=c.layer_norm_epsilon, cast="input" if wide else "before_weight")
    block = MixerOnly(mixer=mixer, norm=norm, residual=WideSum() if wide else Sum())
    return decoder(c, [block] * c.num_hidden_layers, norm)


def backbone(*parts: Rule) -> WeightTable:
    """Names of Mamba's checkpoints around the `parts` of a layer."""
    outer = {"embeddings.weight": "embed_tokens.weight", "norm_f.weight": "norm.weight"}
    return WeightTable(
        prefix="backbone.",
        rules=(
            *renames(outer, disk="backbone.", memory="model."),
            rule(BACKBONE + "norm.weight", "model.layers.{layer}.input_layernorm.weight"),
            *parts,
        ),
    )


def backbone_weights(c: object) -> WeightTable:
    """Names of Mamba's checkpoints, in which every layer is a mixer."""
    return backbone(rule(BACKBONE + "mixer.{rest}", ATTENTION + "{rest}"))


def beside_attention(kinds: tuple[str, ...]) -> tuple[Rule, ...]:
    """State spaces have a name of their own."""
    layers = of_kind(kinds, "linear_attention")
    return (rule("model.layers.{layer}.mamba.{rest}", ATTENTION + "{rest}", layers=layers),)


def feed_forward_rules() -> tuple[Rule, ...]:
    """Names of the feed-forward network and the norms in hybrids that follow Jamba."""
    layer = "model.layers.{layer}."
    return (
        rule("model.final_layernorm.weight", "model.norm.weight"),
        rule(layer + "pre_ff_layernorm.weight", layer + "post_attention_layernorm.weight"),
        rule(layer + "feed_forward.{rest}", layer + "mlp.{rest}"),
    )
