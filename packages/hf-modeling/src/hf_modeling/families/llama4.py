"""Llama 4: the text model, from checkpoints that also hold what reads images."""

from __future__ import annotations

from hf_config.families.llama4 import Llama4Config
from hf_modeling.families.family import Family
from hf_modeling.families.wrapped import text_spec, text_weights
from hf_modeling.weights.table import WeightTable, drop, respelled


def weights(c: Llama4Config) -> WeightTable:
    """The text model with its head, under the name of the part they are."""
    return respelled(
        text_weights(c), {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
    )


FAMILY = Family(
    model_type="llama4",
    config=Llama4Config,
    spec=text_spec,
    weights=weights,
    ignored=(
        drop("vision_model.{rest}", why="reads images; this is the text model"),
        drop("multi_modal_projector.{rest}", why="reads images; this is the text model"),
    ),
    classes={"causal-lm": "Llama4ForCausalLM"},
)
