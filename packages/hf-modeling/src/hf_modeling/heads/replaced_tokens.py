"""The head of encoders that were trained to find replaced tokens (ELECTRA). B batch, T tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.heads.parts import build_base, build_transform, stack_spec, without_pooler
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import ReplacedTokensOutput
from hf_modeling.spec import EncoderSpec, ModelSpec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class ReplacedTokens(PreTrainedModel):
    """Which tokens of a text are not the ones that were written."""

    task = "replaced-tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = without_pooler(stack_spec(self, config, spec))
        assert isinstance(spec, EncoderSpec), f"{type(self).__name__} cannot be built from a decoder's spec"
        assert spec.heads.detector is not None, "a family with this task says how its head is made"
        self.model = build_base(config, spec)
        self.detector_transform = build_transform(spec.heads.detector, spec.width)
        self.detector = Linear(spec.width, 1, bias=True)
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
    ) -> ReplacedTokensOutput:
        """Logits (B, T); `labels` (B, T), 1 for replaced tokens, give `loss`, the mean over real tokens.

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
        logits_BT = self.detector(self.detector_transform(base.last_hidden_state)).squeeze(-1)
        loss = None
        if labels is not None:
            real = slice(None) if attention_mask is None else attention_mask.bool()
            loss = F.binary_cross_entropy_with_logits(logits_BT[real].float(), labels[real].float())
        return ReplacedTokensOutput(
            loss=loss, logits=logits_BT, hidden_states=base.hidden_states, attentions=base.attentions
        )
