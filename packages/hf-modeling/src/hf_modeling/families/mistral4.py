"""Mistral 4: latent attention whose queries grow with their position, and experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mistral4 import Mistral4Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import interleaving, latent, paired
from hf_modeling.families.moe_parts import corrected_moe, dense_first, shared_rules
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec, FloorLogScale, SoftmaxScores
from hf_modeling.weights.table import WeightTable


def spec(c: Mistral4Config) -> DecoderSpec:
    """The decoder that a Mistral 4 config describes."""
    settings, limit, layout = c.rope_parameters, c.max_position_embeddings, interleaving(c.rope_interleave)
    growth = None
    if settings.llama_4_scaling_beta is not None:
        period = settings.original_max_position_embeddings or limit
        growth = FloorLogScale(beta=settings.llama_4_scaling_beta, period=period)
    # The share that turns is of the whole head here.
    turn = rope(settings, c.qk_head_dim, limit, layout=layout)
    mixer = replace(latent(c), rope=turn, position_scale=growth)
    sparse = corrected_moe(c, c.n_routed_experts)
    router = replace(sparse.router, scores=SoftmaxScores(), correction=False, precision="input")
    ffns = dense_first(
        c.first_k_dense_replace, c.num_hidden_layers, gated_mlp(c), replace(sparse, router=router)
    )
    return paired(c, [mixer] * c.num_hidden_layers, ffns)


def weights(c: Mistral4Config) -> WeightTable:
    """All experts of a layer in one tensor for each projection."""
    return WeightTable(rules=shared_rules())


FAMILY = Family(
    model_type="mistral4",
    config=Mistral4Config,
    spec=spec,
    weights=weights,
    classes=classes("Mistral4", "sequence-classification", "token-classification"),
)
