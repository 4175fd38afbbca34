"""The encoder-decoder: an encoder, and a decoder that reads what it gave.

B rows, S tokens of the encoder, T of the decoder, D the decoder's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, assert_never

import torch
from torch import Tensor

from hf_modeling.decoder import Decoder
from hf_modeling.encoder import Encoder
from hf_modeling.errors import InputError
from hf_modeling.init import without_weights
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.loss import IGNORED
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import BaseModelOutputWithPooling, Seq2SeqModelOutput
from hf_modeling.spec import DecoderInput, LastTokenFirst, ModelSpec, Seq2SeqSpec, StartToken

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.cache import Cache, DynamicCache, EncoderDecoderCache


class Seq2Seq(PreTrainedModel):
    """The base model of an encoder-decoder family: from two texts' token ids to the second one's hidden states."""

    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.encoder = Encoder(config, spec.encoder)
            self.decoder = Decoder(config, spec.decoder)
        if spec.shared:
            self.decoder.embed_tokens.weight = self.encoder.embed_tokens.weight
        self.bridge = Linear(spec.encoder.width, spec.decoder.width, bias=True) if spec.bridge else None
        self.decoder_input = spec.decoder_input
        self.echo = spec.echo
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutputWithPooling | tuple[Tensor, ...] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> Seq2SeqModelOutput:
        """The decoder's last hidden state (B, T, D), and what else was asked for.

        input_ids: (B, S) for the encoder; or inputs_embeds: (B, S, width of the embedding table); or
            encoder_outputs: what `self.encode` gave in an earlier call.
        attention_mask: (B, S), 1 for the encoder's real tokens, padded on either side. Needed with
            encoder_outputs too, where there is padding.
        decoder_input_ids: (B, T) for the decoder; or decoder_inputs_embeds. BART and its kin make them from the
            encoder's input where they are left out; for the others that is an error.
        decoder_attention_mask: (B, T) or (B, old + T), 1 for the decoder's real tokens.
        past_key_values: what earlier calls remembered, of both texts; see `EncoderDecoderCache`.
        more: what only this family's encoder reads, see `inputs.MoreInputs`.

        Raises:
            InputError: neither or both of two that exclude each other; shapes that contradict each other.
            TokenIdError: an id outside the vocabulary.
        """
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._echoed(input_ids)
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                **more,
            )
        encoded = read_encoded(encoder_outputs)
        states_BSD = encoded.last_hidden_state
        decoded = self.decoder(
            decoder_input_ids,
            attention_mask=decoder_attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            encoder_hidden_states=states_BSD if self.bridge is None else self.bridge(states_BSD),
            encoder_attention_mask=attention_mask,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=states_BSD,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
        )

    def encode(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **more: Unpack[MoreInputs],
    ) -> Tensor:
        """What the decoder reads of a text: the encoder's last hidden states (B, S, D), at its own width."""
        states_BSD = self.encoder(
            input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, **more
        ).last_hidden_state
        return states_BSD if self.bridge is None else self.bridge(states_BSD)

    def get_encoder(self) -> Encoder:
        """The first stack."""
        return self.encoder

    def get_decoder(self) -> Decoder:
        """The second stack."""
        return self.decoder

    def new_cache(self, *, slack: int = 0) -> DynamicCache | EncoderDecoderCache:
        """An empty cache for the decoder; `slack` as in `DynamicCache`."""
        return self.decoder.new_cache(slack=slack)

    def decoder_ids(self, labels_BT: Tensor) -> Tensor:
        """What the decoder reads to predict these labels (B, T). Raises InputError."""
        return shifted(self.decoder_input, labels_BT, self.config.pad_token_id)

    def _echoed(self, input_ids: Tensor | None) -> Tensor:
        if not self.echo or input_ids is None:
            raise InputError(
                "the decoder has nothing to read: neither decoder_input_ids nor decoder_inputs_embeds were given",
                fix="pass decoder_input_ids (to start with, the token config.decoder_start_token_id), or labels to "
                "a model that predicts them, or call generate",
            )
        return self.decoder_ids(input_ids)


class TextEncoder(PreTrainedModel):
    """The encoder of an encoder-decoder family by itself."""

    task = "text-encoding"
    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.encoder = Encoder(config, spec.encoder)
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """The last hidden state (B, S, D), and what else was asked for. As `Encoder.forward`."""
        encoded: BaseModelOutputWithPooling = self.encoder(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return encoded

    def get_encoder(self) -> Encoder:
        """The stack itself."""
        return self.encoder


def seq2seq_spec(model: PreTrainedModel, config: PreTrainedConfig, spec: ModelSpec | None) -> Seq2SeqSpec:
    """The spec that a model is built from: the one given, or its family's."""
    spec = model.family.spec(config) if spec is None else spec
    assert isinstance(spec, Seq2SeqSpec), f"{type(model).__name__} cannot be built from the spec of one stack"
    return spec


def read_encoded(given: BaseModelOutputWithPooling | tuple[Tensor, ...]) -> BaseModelOutputWithPooling:
    """An encoder's output, also where it was given as a tuple that begins with the last hidden states."""
    if isinstance(given, tuple):
        return BaseModelOutputWithPooling(last_hidden_state=given[0])
    return given


def shifted(rule: DecoderInput, labels_BT: Tensor, padding: int | None) -> Tensor:
    """Labels as the decoder reads them: moved one to the right, with something in front.

    Labels of -100 become padding tokens.

    Raises:
        InputError: the config does not say what to start with, or what padding is.
    """
    if padding is None:
        raise InputError(
            "labels cannot become decoder inputs without a padding token",
            fix="set pad_token_id in the config",
        )
    ids_BT = labels_BT.masked_fill(labels_BT == IGNORED, padding)
    match rule:
        case StartToken(token=token):
            if token is None:
                raise InputError(
                    "the config does not say which token the decoder starts with",
                    fix="set decoder_start_token_id in the config, or pass decoder_input_ids",
                )
            first_B1 = torch.full_like(ids_BT[:, :1], token)
        case LastTokenFirst():
            order_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
            last_B1 = ((ids_BT != padding) * order_T).argmax(1, keepdim=True)
            first_B1 = ids_BT.gather(1, last_B1)
        case _:
            assert_never(rule)
    return torch.cat((first_B1, ids_BT[:, :-1]), dim=1)
