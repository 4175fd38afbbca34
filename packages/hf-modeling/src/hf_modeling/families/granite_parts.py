"""What Granite's mixtures of experts share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol

from hf_modeling.families.moe_parts import BLOCK, MOE, mixture
from hf_modeling.families.parts import HasHeads, HasRope, HasStack, attention, decoder, one_rope, pre_norm
from hf_modeling.spec import (
    Attention,
    ChosenSoftmax,
    DecoderSpec,
    EmbedScale,
    Ffn,
    LmHead,
    Mixer,
    Moe,
    RmsNorm,
    Router,
    Weighted,
)
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import Rule, renames, rule


class HasGranite(HasHeads, HasRope, HasStack, Protocol):
    """A Granite config with experts."""

    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def rms_norm_eps(self) -> float: ...
    @property
    def attention_bias(self) -> bool: ...
    @property
    def attention_multiplier(self) -> float: ...
    @property
    def residual_multiplier(self) -> float: ...
    @property
    def embedding_multiplier(self) -> float: ...
    @property
    def logits_scaling(self) -> float: ...
    @property
    def num_local_experts(self) -> int: ...
    @property
    def num_experts_per_tok(self) -> int: ...
    @property
    def intermediate_size(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...
    @property
    def router_aux_loss_coef(self) -> float: ...


def granite_mixer(c: HasGranite) -> Attention:
    """Granite's attention, whose scores have a scale of their own."""
    turn = one_rope(c, c.hidden_size // c.num_attention_heads)
    return replace(attention(c, turn, bias=c.attention_bias), scale=c.attention_multiplier)


def granite_experts(c: HasGranite) -> Moe:
    """Granite's experts: chosen first, then weighted by a softmax over the chosen."""
    router = Router(scores=ChosenSoftmax())
    counts = (c.num_local_experts, c.num_experts_per_tok, c.intermediate_size)
    return mixture(*counts, c.hidden_act, router, balance=c.router_aux_loss_coef)


def granite(c: HasGranite, mixers: Iterable[Mixer], ffn: Ffn) -> DecoderSpec:
    """Pre-norm blocks with constant multipliers on embeddings, branches and logits."""
    norm, join = RmsNorm(eps=c.rms_norm_eps), Weighted(branch=c.residual_multiplier)
    blocks = (replace(pre_norm(one, ffn, norm), mixer_residual=join, ffn_residual=join) for one in mixers)
    head = LmHead(tied=c.tie_word_embeddings, scale=1 / c.logits_scaling)
    return decoder(c, blocks, norm, scale=EmbedScale(value=c.embedding_multiplier), head=head)


def granite_shared_rules(width: int) -> tuple[Rule, ...]:
    """The expert for every token: gate and up projections of `width` rows each in one matrix on disk."""
    disk, memory = "model.layers.{layer}.shared_mlp.", MOE + "shared_expert.mlp."
    parts = (memory + "gate_proj.weight", memory + "up_proj.weight")
    return (
        rule(disk + "input_linear.weight", parts, Split((width, width))),
        rule(disk + "output_linear.weight", memory + "down_proj.weight"),
    )


STACKED: Final = renames(
    {
        "input_linear.weight": "experts.gate_up_proj",
        "output_linear.weight": "experts.down_proj",
        "router.layer.weight": "gate.weight",
    },
    disk=BLOCK,
    memory=MOE,
)
"""All experts of a layer in one tensor for each projection, as Granite stores them."""
