"""Heads that sort texts and tokens into classes. B batch, T tokens, D width, C classes, N choices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.heads.parts import build_base
from hf_modeling.layers.base import Linear
from hf_modeling.loss import cross_entropy, span_loss
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import (
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    TokenClassifierOutput,
)
from hf_modeling.spec import EncoderSpec, ModelSpec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class TokenClassifier(PreTrainedModel):
    """A class for each token."""

    task = "token-classification"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = without_pooler(self.family.spec(config) if spec is None else spec)
        self.model = build_base(config, spec)
        self.score = Linear(spec.width, config.num_labels, bias=True)
        self.dropout = spec.classifier_dropout
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
    ) -> TokenClassifierOutput:
        """Logits (B, T, C); `labels` (B, T), -100 for tokens left out, give `loss`.

        The other arguments are those of the base model.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits_BTC = self.score(F.dropout(base.last_hidden_state, self.dropout, self.training))
        return TokenClassifierOutput(
            loss=None if labels is None else cross_entropy(logits_BTC, labels, items=num_items_in_batch),
            logits=logits_BTC,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


class QuestionAnswering(PreTrainedModel):
    """Where in a text an answer starts and ends."""

    task = "question-answering"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = without_pooler(self.family.spec(config) if spec is None else spec)
        self.model = build_base(config, spec)
        self.qa_outputs = Linear(spec.width, 2, bias=True)
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> QuestionAnsweringModelOutput:
        """Start and end logits (B, T); both positions (B,) together give `loss`.

        The other arguments are those of the base model.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        starts_BT, ends_BT = self.qa_outputs(base.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span_loss(starts_BT, ends_BT, start_positions, end_positions)
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=starts_BT,
            end_logits=ends_BT,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


class MultipleChoice(PreTrainedModel):
    """Which of several continuations fits: one score for each, from an encoder's pooled first token."""

    task = "multiple-choice"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = self.family.spec(config) if spec is None else spec
        assert isinstance(spec, EncoderSpec), f"{type(self).__name__} cannot be built from a decoder's spec"
        self.model = build_base(config, spec)
        self.score = Linear(spec.width, 1, bias=True)
        self.dropout = spec.classifier_dropout
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
    ) -> MultipleChoiceModelOutput:
        """Logits (B, N) for inputs (B, N, T); `labels` (B,), the right choice of each row, give `loss`.

        The other arguments are those of `Encoder.forward`, each with the axis of choices after the batch's.
        """
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None or given.ndim < 3:
            raise InputError(
                f"expected (rows, choices, tokens), got {None if given is None else tuple(given.shape)}",
                fix="give every row the same number of choices, along the second axis",
            )
        base = self.model(
            _joined(input_ids),
            attention_mask=_joined(attention_mask),
            token_type_ids=_joined(token_type_ids),
            position_ids=_joined(position_ids),
            inputs_embeds=_joined(inputs_embeds),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        pooled = F.dropout(base.pooler_output, self.dropout, self.training)
        logits_BN = self.score(pooled).view(given.shape[:2])
        return MultipleChoiceModelOutput(
            loss=None if labels is None else cross_entropy(logits_BN, labels),
            logits=logits_BN,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


def without_pooler(spec: ModelSpec) -> ModelSpec:
    """The spec for heads that read every token."""
    return replace(spec, pooler=None) if isinstance(spec, EncoderSpec) else spec


def _joined(x: Tensor | None) -> Tensor | None:
    """Rows and choices as one axis."""
    return None if x is None else x.flatten(0, 1)
