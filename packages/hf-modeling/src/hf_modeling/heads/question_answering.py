"""The head that finds answers in texts. B batch, T tokens, D width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.build import build_norm
from hf_modeling.build.ffn import build_ffn
from hf_modeling.heads.parts import build_base, build_transform, marked, stack_spec, without_pooler
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Layer, Linear, StepLayer
from hf_modeling.loss import span_loss
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import QuestionAnsweringModelOutput
from hf_modeling.spec import AnswerHead, EncoderSpec, Mlp, ModelSpec, Norm

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

HIDDEN = 1e6
"""What is taken from the logits of tokens that cannot be an answer."""


@final
class AnswerNetwork(Layer):
    """norm(h + network(dropout(h)))."""

    def __init__(self, network: Mlp, norm: Norm | None, width: int, dropout: float) -> None:
        super().__init__()
        self.mlp: StepLayer = build_ffn(network, width, 0)
        self.norm = build_norm(norm, width)
        self.dropout = dropout

    def forward(self, h_BTD: Tensor) -> Tensor:
        thought_BTD = self.mlp.forward(F.dropout(h_BTD, self.dropout, self.training))
        return self.norm(h_BTD + F.dropout(thought_BTD, self.dropout, self.training))


class QuestionAnswering(PreTrainedModel):
    """Where in a text an answer starts and ends."""

    task = "question-answering"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = without_pooler(stack_spec(self, config, spec))
        head = spec.heads.answer if isinstance(spec, EncoderSpec) else AnswerHead()
        self.model = build_base(config, spec)
        self.head_transform: Layer | None = None
        if head.transform is not None:
            self.head_transform = build_transform(head.transform, spec.width)
        elif head.network is not None:
            self.head_transform = AnswerNetwork(head.network, head.norm, spec.width, head.dropout)
        self.qa_outputs = Linear(spec.width, 2, bias=True)
        self.dropout = 0.0 if head.network is not None else head.dropout
        self.global_tokens, self.separator = head.global_tokens, head.separator
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
        **more: Unpack[MoreInputs],
    ) -> QuestionAnsweringModelOutput:
        """Start and end logits (B, T); both positions (B,) together give `loss`.

        The other arguments are those of the base model.
        """
        question_BT = None
        if self.separator is not None and input_ids is not None:
            question_BT = question(input_ids, self.separator)
            token_type_ids = (~question_BT).long() if token_type_ids is None else token_type_ids
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
        logits_BT2 = self.qa_outputs(F.dropout(h_BTD, self.dropout, self.training))
        if question_BT is not None:
            question_BT[:, 0] = False
            logits_BT2 = logits_BT2 - HIDDEN * question_BT.unsqueeze(-1).to(logits_BT2.dtype)
        starts_BT, ends_BT = logits_BT2.unbind(-1)
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


def question(input_ids: Tensor, separator: int) -> Tensor:
    """Which tokens come before the first separator, or are it, (B, T)."""
    order_T = torch.arange(input_ids.shape[1], device=input_ids.device)
    return order_T <= (input_ids == separator).int().argmax(1, keepdim=True)
