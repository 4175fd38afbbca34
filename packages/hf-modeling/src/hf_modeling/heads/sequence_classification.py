"""`SequenceClassifier`: a class for each text. B batch, T tokens, D width, C classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.heads.parts import build_base
from hf_modeling.layers.base import Linear
from hf_modeling.loss import classification_loss
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, SequenceClassifierOutput
from hf_modeling.spec import EncoderSpec, ModelSpec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

BaseOutput = BaseModelOutputWithPast | BaseModelOutputWithPooling
Summary = Callable[[BaseOutput, Tensor | None, Tensor | None], Tensor]
"""From what the base model gave, the attention mask and the token ids to one vector per row, (B, D)."""


class SequenceClassifier(PreTrainedModel):
    """A class for each text, read from an encoder's pooled first token or a decoder's last real token."""

    task = "sequence-classification"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = self.family.spec(config) if spec is None else spec
        encoder = isinstance(spec, EncoderSpec)
        self.model = build_base(config, spec)
        self.score = Linear(spec.width, config.num_labels, bias=encoder)
        self.summary: Summary = pooled if encoder else LastToken(config.pad_token_id)
        self.dropout = spec.classifier_dropout if encoder else 0.0
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
        num_items_in_batch: Tensor | int | None = None,
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
        )
        summary_BD = self.summary(base, attention_mask, input_ids)
        logits_BC = self.score(F.dropout(summary_BD, self.dropout, self.training))
        loss = None
        if labels is not None:
            loss = classification_loss(logits_BC, labels, self.problem_type, items=num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits_BC, hidden_states=base.hidden_states, attentions=base.attentions
        )


def pooled(base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
    """The pooler's output."""
    assert isinstance(base, BaseModelOutputWithPooling)
    assert base.pooler_output is not None
    return base.pooler_output


@final
@dataclass(frozen=True, slots=True)
class LastToken:
    """The hidden state of each row's last real token, wherever its padding is.

    The mask says which tokens are real; without one, those that are not the padding token are.
    """

    pad_token_id: int | None

    def __call__(self, base: BaseOutput, attention_mask: Tensor | None, input_ids: Tensor | None) -> Tensor:
        h_BTD = base.last_hidden_state
        if attention_mask is not None:
            real_BT = attention_mask.bool()
        elif input_ids is not None and self.pad_token_id is not None:
            real_BT = input_ids != self.pad_token_id
        else:
            return h_BTD[:, -1]
        order_T = torch.arange(h_BTD.shape[1], device=h_BTD.device)
        last_B = (order_T * real_BT).argmax(-1)
        return h_BTD[torch.arange(h_BTD.shape[0], device=h_BTD.device), last_B]
