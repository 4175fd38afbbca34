"""Heads that sort texts and tokens into classes with an encoder-decoder. B rows, T tokens, D width, C classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.errors import InputError
from hf_modeling.init import without_weights
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear
from hf_modeling.loss import classification_loss, cross_entropy, span_loss
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import (
    BaseModelOutputWithPooling,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
    TokenClassifierOutput,
)
from hf_modeling.seq2seq import Seq2Seq, TextEncoder, seq2seq_spec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.cache import Cache
    from hf_modeling.spec import ModelSpec


@final
class SentenceHead(nn.Module):
    """out_proj(dropout(tanh(dense(dropout(x)))))."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(width, width, bias=True)
        self.out_proj = Linear(width, classes, bias=True)
        self.dropout = dropout

    if TYPE_CHECKING:

        def __call__(self, x_BD: Tensor) -> Tensor: ...

    def forward(self, x_BD: Tensor) -> Tensor:
        x_BD = torch.tanh(self.dense(F.dropout(x_BD, self.dropout, self.training)))
        return self.out_proj(F.dropout(x_BD, self.dropout, self.training))


class Seq2SeqSequenceClassifier(PreTrainedModel):
    """A class for each text, read where the decoder reads its last end token."""

    task = "sequence-classification"
    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.model = Seq2Seq(config, spec)
        self.classification_head = SentenceHead(spec.decoder.width, config.num_labels, spec.sentence_dropout)
        self.problem_type = config.problem_type
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutputWithPooling | tuple[Tensor, ...] | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **more: Unpack[MoreInputs],
    ) -> Seq2SeqSequenceClassifierOutput:
        """Logits (B, C); `labels` give `loss` as `loss.classification_loss` says.

        The decoder reads the same text, shifted, unless it is given another of the same length. The other
        arguments are those of `Seq2Seq.forward`.

        Raises:
            InputError: no ids, or a row without an end token.
        """
        if input_ids is None:
            raise InputError(
                "the class of a text is read where its end token is, and input_ids were not given",
                fix="pass input_ids, with the tokenizer's end token",
            )
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.model.decoder_ids(input_ids)
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=False,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        last_B = last_end(input_ids, self.config.eos_token_id)
        rows_B = torch.arange(input_ids.shape[0], device=input_ids.device)
        logits_BC = self.classification_head(base.last_hidden_state[rows_B, last_B])
        loss = None
        if labels is not None:
            loss = classification_loss(logits_BC, labels, self.problem_type, items=num_items_in_batch)
        return Seq2SeqSequenceClassifierOutput(
            loss=loss,
            logits=logits_BC,
            decoder_hidden_states=base.decoder_hidden_states,
            decoder_attentions=base.decoder_attentions,
            cross_attentions=base.cross_attentions,
            encoder_last_hidden_state=base.encoder_last_hidden_state,
            encoder_hidden_states=base.encoder_hidden_states,
            encoder_attentions=base.encoder_attentions,
        )


class Seq2SeqQuestionAnswering(PreTrainedModel):
    """Where in a text an answer starts and ends, read from the decoder."""

    task = "question-answering"
    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.model = Seq2Seq(config, spec)
        self.qa_outputs = Linear(spec.decoder.width, 2, bias=True)
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
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> Seq2SeqQuestionAnsweringModelOutput:
        """Start and end logits (B, T); both positions (B,) together give `loss`.

        The decoder reads the same text, shifted, unless it is given another. The other arguments are those of
        `Seq2Seq.forward`.
        """
        if input_ids is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.model.decoder_ids(input_ids)
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        starts_BT, ends_BT = self.qa_outputs(base.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span_loss(starts_BT, ends_BT, start_positions, end_positions)
        return Seq2SeqQuestionAnsweringModelOutput(
            loss=loss,
            start_logits=starts_BT,
            end_logits=ends_BT,
            past_key_values=base.past_key_values,
            decoder_hidden_states=base.decoder_hidden_states,
            decoder_attentions=base.decoder_attentions,
            cross_attentions=base.cross_attentions,
            encoder_last_hidden_state=base.encoder_last_hidden_state,
            encoder_hidden_states=base.encoder_hidden_states,
            encoder_attentions=base.encoder_attentions,
        )


class EncoderTokenClassifier(PreTrainedModel):
    """A class for each token, read from the encoder of an encoder-decoder family."""

    task = "token-classification"
    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.model = TextEncoder(config, spec)
        self.score = Linear(spec.encoder.width, config.num_labels, bias=True)
        self.dropout = spec.sentence_dropout
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> TokenClassifierOutput:
        """Logits (B, T, C); `labels` (B, T), -100 for tokens left out, give `loss`.

        The other arguments are those of `Encoder.forward`.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits_BTC = self.score(F.dropout(base.last_hidden_state, self.dropout, self.training))
        return TokenClassifierOutput(
            loss=None if labels is None else cross_entropy(logits_BTC, labels, items=num_items_in_batch),
            logits=logits_BTC,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )


def last_end(input_ids_BT: Tensor, end: int | tuple[int, ...] | None) -> Tensor:
    """Where the last end token of each row is, (B,). Raises InputError for a row without any."""
    ends = torch.tensor([] if end is None else end, device=input_ids_BT.device, dtype=input_ids_BT.dtype)
    is_end_BT = torch.isin(input_ids_BT, ends)
    if not bool(is_end_BT.any(1).all()):
        row = int((~is_end_BT.any(1)).nonzero()[0])
        raise InputError(
            f"row {row} has no end token ({end}), which is where the class of a text is read",
            fix="let the tokenizer add its special tokens, and truncate with it",
        )
    order_T = torch.arange(input_ids_BT.shape[1], device=input_ids_BT.device)
    return (is_end_BT * order_T).argmax(1)
