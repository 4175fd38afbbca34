"""`SequenceClassifier`: a class for each text. B batch, T tokens, D width, C classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.heads.parts import build_base, build_transform, marked, stack_spec, with_pooler_for
from hf_modeling.heads.summary import LastToken, Summary, summary_of
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.loss import classification_loss
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import SequenceClassifierOutput
from hf_modeling.spec import EncoderSpec, ModelSpec, TextHead

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class SequenceClassifier(PreTrainedModel):
    """A class for each text, read as an encoder's head for texts says or from a decoder's last real token."""

    task = "sequence-classification"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = stack_spec(self, config, spec)
        head = spec.heads.text if isinstance(spec, EncoderSpec) else TextHead(dropout=0.0)
        self.model = build_base(config, with_pooler_for(head, spec))
        self.head_transform = None if head.transform is None else build_transform(head.transform, spec.width)
        features = spec.width if head.transform is None else head.transform.dim or spec.width
        self.score = Linear(features, config.num_labels, bias=isinstance(spec, EncoderSpec))
        self.summary: Summary = (
            summary_of(head) if isinstance(spec, EncoderSpec) else LastToken(config.pad_token_id)
        )
        self.input_dropout, self.dropout = head.input_dropout, head.dropout
        self.global_tokens = head.global_tokens
        self.problem_type = config.problem_type
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
    ) -> SequenceClassifierOutput:
        """Logits (B, C); `labels` give `loss` as `loss.classification_loss` says.

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
        summary_BD = self.summary(base, attention_mask, input_ids)
        if self.head_transform is not None:
            summary_BD = self.head_transform(F.dropout(summary_BD, self.input_dropout, self.training))
        logits_BC = self.score(F.dropout(summary_BD, self.dropout, self.training))
        loss = None
        if labels is not None:
            loss = classification_loss(logits_BC, labels, self.problem_type, items=num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits_BC, hidden_states=base.hidden_states, attentions=base.attentions
        )
