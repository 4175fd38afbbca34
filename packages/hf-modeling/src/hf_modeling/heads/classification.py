"""Heads that sort texts and tokens into classes. B batch, T tokens, D width, C classes, N choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.errors import InputError
from hf_modeling.heads.parts import (
    build_base,
    build_transform,
    flattened,
    marked,
    stack_spec,
    with_pooler_for,
    without_pooler,
)
from hf_modeling.heads.summary import summary_of
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.loss import cross_entropy
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import (
    MultipleChoiceModelOutput,
    TokenClassifierOutput,
)
from hf_modeling.spec import EncoderSpec, ModelSpec, TokenHead

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class TokenClassifier(PreTrainedModel):
    """A class for each token."""

    task = "token-classification"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = without_pooler(stack_spec(self, config, spec))
        head = (
            spec.heads.token if isinstance(spec, EncoderSpec) else TokenHead(dropout=spec.classifier_dropout)
        )
        self.model = build_base(config, spec)
        self.head_transform = None if head.transform is None else build_transform(head.transform, spec.width)
        self.score = Linear(spec.width, config.num_labels, bias=True)
        self.dropout, self.global_tokens = head.dropout, head.global_tokens
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
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **more: Unpack[MoreInputs],
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
            **marked(self.global_tokens, more, input_ids, attention_mask),
        )
        h_BTD = base.last_hidden_state
        if self.head_transform is not None:
            h_BTD = self.head_transform(h_BTD)
        logits_BTC = self.score(F.dropout(h_BTD, self.dropout, self.training))
        return TokenClassifierOutput(
            loss=None if labels is None else cross_entropy(logits_BTC, labels, items=num_items_in_batch),
            logits=logits_BTC,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


class MultipleChoice(PreTrainedModel):
    """Which of several continuations fits: one score for each, read as the encoder's head for choices says."""

    task = "multiple-choice"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = stack_spec(self, config, spec)
        assert isinstance(spec, EncoderSpec), f"{type(self).__name__} cannot be built from a decoder's spec"
        head = spec.heads.choice
        self.model = build_base(config, with_pooler_for(head, spec))
        self.head_transform = None if head.transform is None else build_transform(head.transform, spec.width)
        features = spec.width if head.transform is None else head.transform.dim or spec.width
        self.score = Linear(features, 1, bias=True)
        self.summary = summary_of(head)
        self.input_dropout, self.dropout = head.input_dropout, head.dropout
        self.global_tokens = head.global_tokens
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
        return_dict: bool | None = None,
        **more: Unpack[MoreInputs],
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
        ids, mask = _joined(input_ids), _joined(attention_mask)
        base = self.model(
            ids,
            attention_mask=mask,
            token_type_ids=_joined(token_type_ids),
            position_ids=_joined(position_ids),
            inputs_embeds=_joined(inputs_embeds),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **marked(self.global_tokens, flattened(more), ids, mask),
        )
        summary_BD = self.summary(base, mask, ids)
        if self.head_transform is not None:
            summary_BD = self.head_transform(F.dropout(summary_BD, self.input_dropout, self.training))
        logits_BN = self.score(F.dropout(summary_BD, self.dropout, self.training)).view(given.shape[:2])
        return MultipleChoiceModelOutput(
            loss=None if labels is None else cross_entropy(logits_BN, labels),
            logits=logits_BN,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


def _joined(x: Tensor | None) -> Tensor | None:
    """Rows and choices as one axis."""
    return None if x is None else x.flatten(0, 1)
