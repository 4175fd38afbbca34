"""A decoder together with the texts it answers: to generation, a language model like any other.

A texts, B rows of the decoder (a multiple of A), S tokens of a text, T of an answer, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast, final

import torch
from torch import Tensor, nn

from hf_modeling.cache import Cache, EncoderDecoderCache
from hf_modeling.generation.prompt import Prompt
from hf_modeling.inputs import MoreInputs
from hf_modeling.outputs import CausalLMOutputWithPast
from hf_modeling.packed import prepare_for_inference

if TYPE_CHECKING:
    from hf_config import GenerationConfig, PreTrainedConfig
    from hf_modeling.decoder import Decoder
    from hf_modeling.seq2seq import Seq2Seq


class EncoderDecoder(Protocol):
    """What generation needs of an encoder-decoder: every `ConditionalGeneration`."""

    config: PreTrainedConfig
    generation_config: GenerationConfig | None
    training: bool
    model: Seq2Seq

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def vocabulary_size(self) -> int:
        """Tokens that the decoder reads, from id 0."""
        ...

    @property
    def source_vocabulary_size(self) -> int:
        """Tokens that the encoder reads, from id 0."""
        ...

    def get_decoder(self) -> Decoder: ...

    def new_cache(self, *, slack: int = 0) -> Cache:
        """An empty cache; `slack` is how many tokens it must be able to take back."""
        ...

    def logits(self, h: Tensor) -> Tensor:
        """Logits of the decoder's last hidden states."""
        ...


@final
class Conditioned:
    """The decoder of `model`, reading what its encoder made of some texts.

    Args:
        model: the encoder-decoder.
        texts: how many texts there are.
        source: the texts, which are read when they are first needed; or
        more: what only this encoder reads beside ids, in the order of `source`.
        states_ASD: what was made of them, with their mask (A, S), None if all of their tokens are real.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        texts: int,
        *,
        source: Prompt | None = None,
        states_ASD: Tensor | None = None,
        attention_mask: Tensor | None = None,
        more: MoreInputs | None = None,
    ) -> None:
        self.model, self.texts, self.source = model, texts, source
        self.more = more or MoreInputs()
        self.attention_mask = attention_mask if source is None else source.mask
        self.config, self.training = model.config, model.training
        self.generation_config = model.generation_config
        self._states_ASD = states_ASD

    @property
    def states_ASD(self) -> Tensor:
        """What the decoder reads."""
        if self._states_ASD is None:
            assert self.source is not None, "either states or texts are given"
            source = self.source
            if isinstance(self.model, nn.Module):
                prepare_for_inference(self.model)
            with torch.inference_mode():
                self._states_ASD = self.model.model.encode(
                    None if source.embeds is not None else source.ids,
                    attention_mask=source.mask,
                    inputs_embeds=source.embeds,
                    **self.more,
                )
        return self._states_ASD

    def row(self, number: int) -> Conditioned:
        """The same with one text only, without its padding: as if it had never been in a batch."""
        mask, source, one = self.attention_mask, self.source, slice(number, number + 1)
        real = slice(None) if mask is None else mask[number].bool()
        if source is None:
            return Conditioned(self.model, 1, states_ASD=self.states_ASD[one, real])
        embeds = None if source.embeds is None else source.embeds[one, real]
        ids = source.ids[one] if source.embeds is not None else source.ids[one, real]
        length = ids.shape[1] if embeds is None else embeds.shape[1]
        alone = replace(source, given=ids, ids=ids, mask=None, given_mask=None, embeds=embeds)
        more = cast("MoreInputs", {name: cast("Tensor", x)[one, real] for name, x in self.more.items()})
        return Conditioned(self.model, 1, source=replace(alone, batch=1, length=length), more=more)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's numbers."""
        return self.model.dtype

    @property
    def vocabulary_size(self) -> int:
        """Tokens that the decoder reads, from id 0."""
        return self.model.vocabulary_size

    def new_cache(self, *, slack: int = 0) -> Cache:
        """An empty cache; `slack` is how many tokens it must be able to take back."""
        return self.model.new_cache(slack=slack)

    def logits(self, h: Tensor) -> Tensor:
        """Logits of last hidden states."""
        return self.model.logits(h)

    def __call__(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        logits_to_keep: int = 0,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) of each next token, or of the last `logits_to_keep`. As `Decoder.forward`."""
        read = isinstance(past_key_values, EncoderDecoderCache) and past_key_values.source is not None
        base = self.model.get_decoder()(
            input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=None if read else self.states_ASD,
            encoder_attention_mask=None if read else self.attention_mask,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        h_BTD = base.last_hidden_state
        return CausalLMOutputWithPast(
            logits=self.model.logits(h_BTD[:, -logits_to_keep:] if logits_to_keep else h_BTD),
            past_key_values=base.past_key_values,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
            cross_attentions=base.cross_attentions,
        )
