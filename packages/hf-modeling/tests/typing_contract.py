"""What a type checker must accept and refuse; mypy checks this file, and an unused ignore is an error there."""

from typing import assert_type

import torch

import hf_modeling
from hf_config import LlamaConfig
from hf_modeling import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertModel,
    LlamaForCausalLM,
    LoadReport,
)
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.heads.sequence_classification import SequenceClassifier


def loading() -> None:
    """Never called: loading needs a checkpoint."""
    assert_type(AutoModelForCausalLM.from_pretrained("folder", dtype=torch.bfloat16), CausalLM)
    assert_type(LlamaForCausalLM.from_pretrained("folder", device_map="auto"), LlamaForCausalLM)
    assert_type(BertModel.from_pretrained("folder", revision="main"), BertModel)
    assert_type(LlamaForCausalLM.from_config(LlamaConfig(), dtype=torch.float16), LlamaForCausalLM)
    head = AutoModelForSequenceClassification.from_pretrained(
        "folder", num_labels=3, allow_missing=("score.*",)
    )
    assert_type(head, SequenceClassifier)
    assert_type(head.load_report, LoadReport | None)


def mistakes() -> None:
    """Never called: each line is wrong in one way."""
    AutoModelForCausalLM.from_pretrained("folder", num_label=3)  # type: ignore[call-arg] # wrong name
    LlamaForCausalLM.from_pretrained("folder", allow_missing="score.*")  # type: ignore[arg-type] # one pattern, bare
    hf_modeling.LamaForCausalLM("folder")  # type: ignore[attr-defined] # no such class
