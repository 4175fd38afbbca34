"""The decoder: embeddings, blocks, a norm. Every left-to-right family is this module with another spec.

B batch, T new tokens, D width, L layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hf_modeling.build import (
    backend_of,
    build_block,
    build_norm,
    build_per_layer,
    build_relative,
    build_stem,
    build_tokens,
    start,
)
from hf_modeling.cache import Cache, DynamicCache, EncoderDecoderCache, Layout
from hf_modeling.cache.encoder_decoder import reads_source
from hf_modeling.errors import InputError
from hf_modeling.inputs import not_ids, not_one_input, not_rows, outside_vocabulary, unknown_segments
from hf_modeling.layers.base import Layer, Linear, states_of, surviving
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import BaseModelOutputWithPast
from hf_modeling.source import source_of
from hf_modeling.spec import DecoderSpec, ModelSpec
from hf_modeling.step import Step, begin

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class Decoder(PreTrainedModel):
    """The base model of a decoder family: from token ids to hidden states."""

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = self.family.spec(config) if spec is None else spec
        assert isinstance(spec, DecoderSpec), f"{type(self).__name__} cannot be built from an encoder's spec"
        building = start(spec, backend_of(config.attn_implementation))
        per_layer = spec.embed.per_layer
        self.embed_tokens = build_tokens(spec.embed, spec.width)
        self.stem = build_stem(spec.embed, spec.width)
        self.embed_per_layer = (
            None if per_layer is None else build_per_layer(per_layer, spec.width, len(spec.blocks))
        )
        self.layers = nn.ModuleList(build_block(b, i, building) for i, b in enumerate(spec.blocks))
        self.norm: Layer = build_norm(spec.norm, spec.width)
        self.project_out = None if spec.output_dim is None else Linear(spec.width, spec.output_dim)
        self.cache_layout: Layout = tuple(states_of(layer) for layer in self.layers)
        self.relative = None if spec.relative is None else build_relative(spec.relative, spec.width)
        self.dropout, self.layer_dropout = spec.dropout, spec.layer_dropout
        self.crosses = reads_source(self.cache_layout)
        self.grow = EncoderDecoderCache.growing if self.crosses else DynamicCache
        plain = self.stem is None and self.embed_per_layer is None and self.relative is None
        self.prepares = self.crosses or not plain
        self.use_cache = config.use_cache
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        output_router_logits: bool = False,
    ) -> BaseModelOutputWithPast:
        """The last hidden state (B, T, D), and what else was asked for.

        input_ids: (B, T) int64; or inputs_embeds: (B, T, width of the embedding table).
        attention_mask: (B, T) or (B, old + T), 1 for real tokens; padding may be on either side. Or 4-D, to
            say for each query which keys it may look at.
        position_ids: (B, T); left out, they count each row's real tokens. Without a mask, positions that start
            over mark sequences packed into one row; `masks.packed_position_ids` makes them of `cu_seqlens`.
        token_type_ids: (B, T), for the few decoders that tell segments apart.
        past_key_values: what earlier calls remembered; it is updated. With use_cache a new one is made where none
            is given; left out, that is done as the config says, unless gradients are recorded.
        cache_position: not needed; accepted because other code passes it.
        encoder_hidden_states, encoder_attention_mask: what a decoder with cross-attention reads (A, S, D'), and
            the mask (A, S) it was made with; B may be a multiple of A. A cache that has read them needs neither.

        Raises:
            InputError: shapes that contradict each other; TokenIdError: an id outside the vocabulary.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise not_one_input(input_ids)
        if input_ids is not None and input_ids.is_floating_point():
            raise not_ids(input_ids)
        try:
            h_BTD = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        except IndexError:
            raise outside_vocabulary(input_ids, self.embed_tokens.num_embeddings) from None
        if h_BTD.ndim != 3 or not h_BTD.shape[1]:
            raise not_rows(h_BTD)
        cache = past_key_values
        wanted = self.use_cache and not torch.is_grad_enabled() if use_cache is None else use_cache
        if wanted and cache is None:
            cache = self.grow(self.cache_layout)
        step = begin(
            batch=h_BTD.shape[0],
            new=h_BTD.shape[1],
            device=h_BTD.device,
            cache=cache,
            attention_mask=attention_mask,
            position_ids=position_ids,
        )
        step.attentions = [] if output_attentions else None
        step.hidden_states = [] if output_hidden_states else None
        step.router_logits = [] if output_router_logits else None
        if self.prepares or token_type_ids is not None:
            source = encoder_hidden_states, encoder_attention_mask
            h_BTD = self._prepared(h_BTD, step, input_ids, token_type_ids, source)
        if self.training:
            h_BTD = self._trained(h_BTD, step)
        else:
            for layer in self.layers:
                if step.hidden_states is not None:
                    step.hidden_states.append(h_BTD)
                h_BTD = layer(h_BTD, step)
        if cache is not None:
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
        h_BTD = self.norm(h_BTD) if self.project_out is None else self.project_out(self.norm(h_BTD))
        if self.training:
            h_BTD = F.dropout(h_BTD, self.dropout)
        if output_attentions or output_hidden_states or output_router_logits:
            return _recorded(h_BTD, step)
        return BaseModelOutputWithPast(last_hidden_state=h_BTD, past_key_values=cache)

    def _prepared(
        self,
        h_BTD: Tensor,
        step: Step,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        source: tuple[Tensor | None, Tensor | None],
    ) -> Tensor:
        """What enters the first layer, and what layers look up in the step, where tokens alone do not say it."""
        if self.stem is not None:
            h_BTD = self.stem(h_BTD, token_type_ids, step)
        elif token_type_ids is not None:
            raise unknown_segments()
        if self.crosses:
            self._find_source(step, *source)
            step.cross_attentions = None if step.attentions is None else []
        if self.embed_per_layer is not None:
            step.per_layer_BTLP = self.embed_per_layer(_ids(input_ids), h_BTD)
        if self.relative is not None:
            step.relative = self.relative(step)
        return h_BTD

    def _trained(self, h_BTD: Tensor, step: Step) -> Tensor:
        """All layers, with what only training does: leaving some out, and computing some again."""
        for layer in surviving(self.layers, self.layer_dropout):
            if step.hidden_states is not None:
                step.hidden_states.append(h_BTD)
            h_BTD = (
                checkpoint(layer, h_BTD, step, use_reentrant=False) if layer.recompute else layer(h_BTD, step)
            )
        return h_BTD

    def new_cache(self, *, slack: int = 0) -> DynamicCache | EncoderDecoderCache:
        """An empty cache for this model; `slack` as in `DynamicCache`."""
        if self.crosses:
            return EncoderDecoderCache.growing(self.cache_layout, slack=slack)
        return DynamicCache(self.cache_layout, slack=slack)

    def _find_source(self, step: Step, states: Tensor | None, attention_mask: Tensor | None) -> None:
        """Let the step read the encoder's states, or what the cache holds of them."""
        cache = step.cache
        if states is not None:
            step.source = source_of(states, attention_mask)
            if isinstance(cache, EncoderDecoderCache):
                cache.remember(step.source)
        elif isinstance(cache, EncoderDecoderCache):
            step.source = cache.source


def _recorded(h_BTD: Tensor, step: Step) -> BaseModelOutputWithPast:
    if step.hidden_states is not None:
        step.hidden_states.append(h_BTD)
    return BaseModelOutputWithPast(
        last_hidden_state=h_BTD,
        past_key_values=step.cache,
        hidden_states=None if step.hidden_states is None else tuple(step.hidden_states),
        attentions=None if step.attentions is None else tuple(step.attentions),
        cross_attentions=None if step.cross_attentions is None else tuple(step.cross_attentions),
        router_logits=None if step.router_logits is None else tuple(step.router_logits),
    )


def _ids(input_ids: Tensor | None) -> Tensor:
    if input_ids is None:
        raise InputError(
            "inputs_embeds given to a model whose every layer has its own embedding of each token",
            fix="pass input_ids",
        )
    return input_ids
