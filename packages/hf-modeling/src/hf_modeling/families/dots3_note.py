"""dots.note: the text model, from checkpoints that also hold what reads images and hears."""

from __future__ import annotations

from hf_config.families.dots3_note import Dots3NoteConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import drafting
from hf_modeling.families.wrapped import text_spec, text_weights
from hf_modeling.weights.table import drop

FAMILY = Family(
    model_type="dots3_note",
    config=Dots3NoteConfig,
    spec=text_spec,
    weights=text_weights,
    ignored=(
        drop("vision_encoder.{rest}", why="reads images; this is the text model"),
        drop("audio_encoder.{rest}", why="hears sound; this is the text model"),
        drafting("model.mtp.{rest}"),
    ),
    classes={"causal-lm": "Dots3NoteForCausalLM"},
)
