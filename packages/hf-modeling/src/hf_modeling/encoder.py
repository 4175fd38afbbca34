"""The encoder: embeddings, blocks that read in both directions, a pooler where the family has one.

B batch, T tokens, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hf_modeling.build import (
    backend_of,
    build_block,
    build_norm,
    build_relative,
    build_stem,
    build_tokens,
    start,
)
from hf_modeling.inputs import (
    MoreInputs,
    not_ids,
    not_one_input,
    not_rows,
    outside_vocabulary,
    unknown_segments,
    unread,
)
from hf_modeling.layers.activation import PLAIN, Unary
from hf_modeling.layers.base import Layer, Linear, surviving
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import BaseModelOutputWithPooling
from hf_modeling.spec import CellPositions, EncoderSpec, LearnedPositions, ModelSpec
from hf_modeling.step import Step, begin

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


@final
class PoolerLayer(Layer):
    """activation(dense(x)) of a token's state x."""

    def __init__(self, width: int, activation: Unary) -> None:
        super().__init__()
        self.dense = Linear(width, width, bias=True)
        self.activation = activation

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.activation(self.dense(x_BD))


class Encoder(PreTrainedModel):
    """The base model of an encoder family: from token ids to hidden states."""

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = self.family.spec(config) if spec is None else spec
        assert isinstance(spec, EncoderSpec), f"{type(self).__name__} cannot be built from a decoder's spec"
        building = start(spec, backend_of(config.attn_implementation))
        self.embed_tokens = build_tokens(spec.embed, spec.width)
        self.stem = build_stem(spec.embed, spec.width)
        self.relative = None if spec.relative is None else build_relative(spec.relative, spec.width)
        self.layers = nn.ModuleList(build_block(b, i, building) for i, b in enumerate(spec.blocks))
        self.norm: Layer = build_norm(spec.norm, spec.width)
        self.pooler = None if spec.pooler is None else PoolerLayer(spec.width, PLAIN[spec.pooler.activation])
        self.order = tuple(range(len(spec.blocks))) if spec.order is None else spec.order
        positions = spec.embed.positions
        self.first_position = positions.first if isinstance(positions, LearnedPositions) else 0
        self.counts_cells = isinstance(positions, CellPositions)
        self.reads = spec.reads
        self.dropout, self.layer_dropout = spec.dropout, spec.layer_dropout
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> BaseModelOutputWithPooling:
        """The last hidden state (B, T, D), the pooled first token (B, D), and what else was asked for.

        input_ids: (B, T) int64; or inputs_embeds: (B, T, width of the embedding table).
        attention_mask: (B, T), 1 for real tokens; padding may be on either side.
        token_type_ids: (B, T), which segment each token belongs to; left out, all belong to the first.
        position_ids: (B, T); left out, they count each row's real tokens.
        more: what only this family reads, see `inputs.MoreInputs`.

        Raises:
            InputError: shapes that contradict each other, or an input that this family does not read;
            TokenIdError: an id outside the vocabulary.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise not_one_input(input_ids)
        if input_ids is not None and input_ids.is_floating_point():
            raise not_ids(input_ids)
        if unknown := more.keys() - self.reads:
            raise unread(unknown)
        try:
            h_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        except IndexError:
            raise outside_vocabulary(input_ids, self.embed_tokens.num_embeddings) from None
        if h_BTD.ndim != 3 or not h_BTD.shape[1]:
            raise not_rows(h_BTD)
        if position_ids is not None and self.first_position:
            position_ids = position_ids - self.first_position
        step = begin(
            batch=h_BTD.shape[0],
            new=h_BTD.shape[1],
            device=h_BTD.device,
            attention_mask=attention_mask,
            position_ids=None if self.counts_cells else position_ids,
        )
        step.attentions = [] if output_attentions else None
        step.hidden_states = [] if output_hidden_states else None
        step.more = {name: given for name, given in more.items() if isinstance(given, Tensor)}
        if self.counts_cells:
            told = {"token_type_ids": token_type_ids, "position_ids": position_ids}
            step.more = {**step.more, **{name: given for name, given in told.items() if given is not None}}
        if self.stem is not None:
            h_BTD = self.stem(h_BTD, token_type_ids, step)
        elif token_type_ids is not None:
            raise unknown_segments()
        h_BTD = self._run(h_BTD, step)
        return BaseModelOutputWithPooling(
            last_hidden_state=h_BTD,
            pooler_output=None if self.pooler is None else self.pooler(first_token(h_BTD, attention_mask)),
            hidden_states=None if step.hidden_states is None else tuple(step.hidden_states),
            attentions=None if step.attentions is None else tuple(step.attentions),
        )

    def _run(self, h_BTD: Tensor, step: Step) -> Tensor:
        """The embeddings, sent through every block and the last norm."""
        if self.relative is not None:
            step.relative = self.relative(step)
        for number in surviving(self.order, self.layer_dropout) if self.training else self.order:
            layer = self.layers[number]
            if step.hidden_states is not None:
                step.hidden_states.append(h_BTD)
            h_BTD = (
                checkpoint(layer, h_BTD, step, use_reentrant=False)
                if layer.recompute and self.training
                else layer(h_BTD, step)
            )
        h_BTD = F.dropout(self.norm(h_BTD), self.dropout, self.training)
        if step.hidden_states is not None:
            step.hidden_states.append(h_BTD)
        return h_BTD


def first_token(h_BTD: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The state of each row's first real token, (B, D), wherever its padding is."""
    if attention_mask is None or attention_mask.ndim != 2:
        return h_BTD[:, 0]
    first_B = attention_mask.bool().int().argmax(1)
    return h_BTD[torch.arange(h_BTD.shape[0], device=h_BTD.device), first_B]
