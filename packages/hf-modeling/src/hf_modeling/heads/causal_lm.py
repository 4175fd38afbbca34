"""`CausalLM`: a decoder that gives logits of the next token. B batch, T new tokens, D width, V vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hf_modeling.cache import Cache, DynamicCache
from hf_modeling.decoder import Decoder
from hf_modeling.generation.api import generate
from hf_modeling.generation.serving.many import generate_many
from hf_modeling.generation.streaming import astream, stream
from hf_modeling.heads.parts import build_lm_head, build_transform
from hf_modeling.init import without_weights
from hf_modeling.loss import (
    IGNORED,
    causal_lm_loss,
    chunk_of,
    chunked_cross_entropy,
    load_balancing_loss,
    next_tokens,
)
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import CausalLMOutputWithPast
from hf_modeling.spec import Block, Crossed, DecoderSpec, DualFfn, MixerOnly, ModelSpec, Moe, ScaledSandwich

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig


class CausalLM(PreTrainedModel):
    """A decoder with a vocabulary head.

    `balance` is the coefficient of the load-balancing loss of sparse models, 0 where there is none.
    """

    task = "causal-lm"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = self.family.spec(config) if spec is None else spec
        assert isinstance(spec, DecoderSpec), f"{type(self).__name__} cannot be built from an encoder's spec"
        with without_weights():
            self.model = Decoder(config, spec)
        head, width = spec.head, spec.output_dim or spec.width
        self.lm_transform = None if head.transform is None else build_transform(head.transform, width)
        inner = width if head.transform is None else head.transform.dim or width
        self.lm_head = build_lm_head(head, inner, self.model.embed_tokens)
        self.logit_scale, self.softcap = head.scale, head.softcap
        self.moe = next((moe for moe in map(moe_of, spec.blocks) if moe is not None), None)
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
        output_router_logits: bool = False,
        logits_to_keep: int = 0,
        skip_logits: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) of each next token, or of the last `logits_to_keep` if that is not 0.

        labels: (B, T), the input ids themselves, shifted here; -100 is left out. They give `loss`: a mean, or
            with `num_items_in_batch` a sum over that number (see `loss.cross_entropy`).
        skip_logits: give `loss` alone, by `token_loss`; `logits` are then (B, 0, V).
        return_dict: not needed; accepted because peft passes it. Outputs unpack like tuples as they are.
        The other arguments are those of `Decoder.forward`.

        Raises:
            InputError: shapes that contradict each other; TokenIdError: an id outside the vocabulary.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            output_router_logits=output_router_logits,
        )
        h_BTD = base.last_hidden_state
        loss = None
        if skip_logits and labels is not None:
            loss = self.token_loss(h_BTD, labels, num_items_in_batch=num_items_in_batch)
            h_BTD = h_BTD[:, :0]
        logits_BTV = self.logits(h_BTD[:, -logits_to_keep:] if logits_to_keep else h_BTD)
        if labels is not None and not skip_logits:
            loss = causal_lm_loss(logits_BTV, labels, items=num_items_in_batch)
        aux_loss = None
        if base.router_logits and self.moe is not None:
            valid_M = None if attention_mask is None else attention_mask.bool().flatten()
            aux_loss = load_balancing_loss(base.router_logits, self.moe.count, self.moe.top_k, valid_M)
            loss = None if loss is None else loss + self.moe.balance * aux_loss
        return CausalLMOutputWithPast(
            loss=loss,
            aux_loss=aux_loss,
            logits=logits_BTV,
            past_key_values=base.past_key_values,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
            router_logits=base.router_logits,
        )

    def logits(self, h: Tensor) -> Tensor:
        """Vocabulary logits (..., V) of last hidden states (..., D)."""
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits = self.lm_head(h)
        if self.logit_scale != 1.0:
            logits = logits * self.logit_scale
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap

    def token_loss(
        self,
        h_BTD: Tensor,
        labels_BT: Tensor,
        *,
        num_items_in_batch: Tensor | int | None = None,
        chunk: int | None = None,
    ) -> Tensor:
        """The loss that `forward` gives for the last hidden states, without ever holding all logits.

        At most `chunk` tokens' logits exist at a time, by default as many as take a quarter of a gigabyte; tokens
        without a label cost nothing.
        """
        labels_M = next_tokens(labels_BT).flatten()
        kept = labels_M != IGNORED
        hidden_MD = h_BTD.flatten(0, 1)[kept]
        return chunked_cross_entropy(
            self.logits,
            hidden_MD,
            labels_M[kept],
            items=num_items_in_batch,
            chunk=chunk or chunk_of(self.lm_head.out_features),
            weights=self._head_weights(),
        )

    def _head_weights(self) -> Iterator[Tensor]:
        """What `logits` computes with."""
        yield from self.lm_head.parameters()
        if self.lm_transform is not None:
            yield from self.lm_transform.parameters()

    @property
    def vocabulary_size(self) -> int:
        """Tokens that the model reads, from id 0."""
        return self.model.embed_tokens.num_embeddings

    generate = generate
    generate_many = generate_many
    stream = stream
    astream = astream

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
    ) -> dict[str, Tensor | Cache | None]:
        """What `forward` takes to go on: the ids that the cache does not hold yet. For peft, which asks for it."""
        seen = 0 if past_key_values is None else past_key_values.length
        return {
            "input_ids": input_ids[:, seen:],
            "past_key_values": past_key_values,
            "attention_mask": attention_mask,
        }

    def new_cache(self, *, slack: int = 0) -> DynamicCache:
        """An empty cache for this model; `slack` as in `DynamicCache`."""
        return DynamicCache(self.model.cache_layout, slack=slack)


def moe_of(block: Block) -> Moe | None:
    """The mixture of experts in a block, if it has one."""
    if isinstance(block, Crossed):
        block = block.block
    if isinstance(block, MixerOnly):
        return None
    ffn = block.sandwich.ffn if isinstance(block, ScaledSandwich) else block.ffn
    if isinstance(ffn, DualFfn):
        return ffn.sparse
    return ffn if isinstance(ffn, Moe) else None
