"""MiniCPM 3: latent attention in a dense model with scaled embeddings, branches and logits."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.minicpm3 import MiniCPM3Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import latent
from hf_modeling.families.parts import classes, decoder, gated_mlp, pre_norm, same_names
from hf_modeling.spec import DecoderSpec, EmbedScale, LmHead, RmsNorm, Weighted


def spec(c: MiniCPM3Config) -> DecoderSpec:
    """The decoder that a MiniCPM 3 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    join = Weighted(branch=c.scale_depth / math.sqrt(c.num_hidden_layers))
    block = replace(
        pre_norm(latent(c, "half"), gated_mlp(c, bias=c.mlp_bias), norm),
        mixer_residual=join,
        ffn_residual=join,
    )
    head = LmHead(tied=c.tie_word_embeddings, scale=c.dim_model_base / c.hidden_size)
    scale = EmbedScale(value=c.scale_emb)
    return decoder(c, [block] * c.num_hidden_layers, norm, scale=scale, head=head)


FAMILY = Family(
    model_type="minicpm3",
    config=MiniCPM3Config,
    spec=spec,
    weights=same_names,
    classes=classes("MiniCPM3", "sequence-classification"),
)
