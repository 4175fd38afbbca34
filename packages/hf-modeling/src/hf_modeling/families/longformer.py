"""Longformer: RoBERTa whose tokens see a window, and a few global ones that see and are seen by all."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.longformer import LongformerConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.encoder_names import BERT_LAYER, PLAIN_CLASSIFIER, ROBERTA_HEADS, bert_weights
from hf_modeling.families.encoder_parts import (
    JUDGES,
    bert,
    classes,
    counted_after_padding,
    first_token,
    post_norm,
    transform,
)
from hf_modeling.families.family import Family
from hf_modeling.spec import (
    AfterSeparators,
    BeforeSeparator,
    EncoderSpec,
    FirstToken,
    GlobalWindowAttention,
)
from hf_modeling.weights.table import WeightTable

LAYER = {
    **BERT_LAYER,
    "attention.self.query_global.{s}": "self_attn.global_q_proj.{s}",
    "attention.self.key_global.{s}": "self_attn.global_k_proj.{s}",
    "attention.self.value_global.{s}": "self_attn.global_v_proj.{s}",
}


def spec(c: LongformerConfig) -> EncoderSpec:
    """The encoder that a Longformer config describes. Raises SpecError for windows that are not one per layer."""
    windows = (
        (c.attention_window,) * c.num_hidden_layers
        if isinstance(c.attention_window, int)
        else c.attention_window
    )
    if len(windows) != c.num_hidden_layers or any(window < 2 or window % 2 for window in windows):
        raise SpecError(
            f"attention_window {c.attention_window} is not an even number for each of {c.num_hidden_layers} layers",
            fix="give one even number, or one for each layer",
        )
    mixer = GlobalWindowAttention(
        heads=c.num_attention_heads,
        head_dim=c.hidden_size // c.num_attention_heads,
        reach=0,
        dropout=c.attention_probs_dropout_prob,
    )
    heads, separator = (
        first_token(c.hidden_dropout_prob),
        c.sep_token_id if c.sep_token_id is not None else -1,
    )
    whole = counted_after_padding(bert(c), c.pad_token_id)
    return replace(
        whole,
        blocks=tuple(post_norm(c, replace(mixer, reach=window // 2)) for window in windows),
        head=replace(whole.head, transform=transform(c, "gelu")),
        heads=replace(
            heads,
            text=replace(heads.text, global_tokens=FirstToken()),
            choice=replace(heads.choice, global_tokens=AfterSeparators(separator=separator)),
            answer=replace(heads.answer, global_tokens=BeforeSeparator(separator=separator)),
        ),
    )


def weights(c: LongformerConfig) -> WeightTable:
    """RoBERTa's names under Longformer's prefix, with projections for global tokens."""
    return bert_weights(c, "longformer.", heads=ROBERTA_HEADS, layer=LAYER, logits="lm_head.")


FAMILY = Family(
    model_type="longformer",
    config=LongformerConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("Longformer", "masked-lm", *JUDGES),
)
