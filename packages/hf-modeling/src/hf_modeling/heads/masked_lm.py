"""Heads of encoders that were trained to fill gaps and to judge sentence pairs. B batch, T tokens, V vocabulary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.encoder import Encoder
from hf_modeling.heads.parts import build_lm_head, build_transform
from hf_modeling.init import without_weights
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.loss import cross_entropy
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import MaskedLMOutput, NextSentencePredictorOutput, PreTrainingOutput
from hf_modeling.spec import EncoderSpec, ModelSpec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.heads.parts import HeadTransformLayer


class MaskedLM(PreTrainedModel):
    """An encoder that gives logits of every token, the missing ones among them."""

    task = "masked-lm"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = _encoder_spec(self, config, spec)
        with without_weights():
            self.model = Encoder(config, replace(spec, pooler=None))
        self.lm_transform, self.lm_head = _vocabulary(spec, self.model)
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **more: Unpack[MoreInputs],
    ) -> MaskedLMOutput:
        """Logits (B, T, V). `labels` (B, T), -100 for tokens that were not masked, give `loss`.

        The other arguments are those of `Encoder.forward`.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        h = base.last_hidden_state
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits_BTV = self.lm_head(h)
        return MaskedLMOutput(
            loss=None if labels is None else cross_entropy(logits_BTV, labels, items=num_items_in_batch),
            logits=logits_BTV,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


class NextSentence(PreTrainedModel):
    """An encoder that judges whether the second segment continues the first."""

    task = "next-sentence"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = _encoder_spec(self, config, spec)
        with without_weights():
            self.model = Encoder(config, spec)
        self.seq_relationship = Linear(spec.width, 2, bias=True)
        self.dropout = spec.heads.pair.dropout
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> NextSentencePredictorOutput:
        """Logits (B, 2); `labels` (B,), 0 where the second segment continues the first, give `loss`.

        The other arguments are those of `Encoder.forward`.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        logits_B2 = self.seq_relationship(F.dropout(base.pooler_output, self.dropout, self.training))
        return NextSentencePredictorOutput(
            loss=None if labels is None else cross_entropy(logits_B2, labels),
            logits=logits_B2,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


class PreTraining(PreTrainedModel):
    """An encoder with both heads it was trained with: missing tokens and pairs of sentences."""

    task = "pretraining"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = _encoder_spec(self, config, spec)
        with without_weights():
            self.model = Encoder(config, spec)
        self.lm_transform, self.lm_head = _vocabulary(spec, self.model)
        self.seq_relationship = Linear(spec.width, 2, bias=True)
        self.dropout = spec.heads.pair.dropout
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        sentence_order_label: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> PreTrainingOutput:
        """Logits (B, T, V) and (B, 2); `labels` and `next_sentence_label` together give `loss`, their sum.

        sentence_order_label: what ALBERT calls `next_sentence_label`: 0 where the two sentences are in order.
        The other arguments are those of `Encoder.forward`.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        h = base.last_hidden_state
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits_BTV = self.lm_head(h)
        logits_B2 = self.seq_relationship(F.dropout(base.pooler_output, self.dropout, self.training))
        pair_label = next_sentence_label if sentence_order_label is None else sentence_order_label
        loss = None
        if labels is not None and pair_label is not None:
            loss = cross_entropy(logits_BTV, labels) + cross_entropy(logits_B2, pair_label)
        return PreTrainingOutput(
            loss=loss,
            prediction_logits=logits_BTV,
            seq_relationship_logits=logits_B2,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


def _encoder_spec(model: PreTrainedModel, config: PreTrainedConfig, spec: ModelSpec | None) -> EncoderSpec:
    spec = model.family.spec(config) if spec is None else spec
    assert isinstance(spec, EncoderSpec), f"{type(model).__name__} cannot be built from a decoder's spec"
    return spec


def _vocabulary(spec: EncoderSpec, base: Encoder) -> tuple[HeadTransformLayer | None, Linear]:
    """The way from hidden states to logits: a transform where the family has one, then the projection."""
    transform = None if spec.head.transform is None else build_transform(spec.head.transform, spec.width)
    features = spec.width if spec.head.transform is None else spec.head.transform.dim or spec.width
    return transform, build_lm_head(spec.head, features, base.embed_tokens)
