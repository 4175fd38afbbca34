"""Qwen3.5: the text model, from checkpoints that also hold what reads images."""

from __future__ import annotations

from hf_config.families.qwen3_5 import Qwen3_5Config
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import MULTIMODAL_PARTS
from hf_modeling.families.wrapped import inner_weights, text_spec

FAMILY = Family(
    model_type="qwen3_5",
    config=Qwen3_5Config,
    spec=text_spec,
    weights=inner_weights,
    ignored=MULTIMODAL_PARTS,
    classes={
        "causal-lm": "Qwen3_5ForCausalLM",
        "sequence-classification": "Qwen3_5ForSequenceClassification",
        "token-classification": "Qwen3_5ForTokenClassification",
    },
)
