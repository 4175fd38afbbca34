"""What model calls return: dataclasses with the field names that code written for `transformers` reads.

Fields that were not asked for are None. Items can be read by name or by index, None fields skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from torch import Tensor

from hf_modeling.cache.protocol import Cache

Layers = tuple[Tensor, ...]
Value = Tensor | Cache | Layers


@dataclass(kw_only=True, slots=True)
class ModelOutput:
    """Base of all outputs; unpacks and indexes like a tuple of its fields that are not None."""

    def to_tuple(self) -> tuple[Value, ...]:
        """The fields that are not None, in order."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if value is not None)

    def keys(self) -> tuple[str, ...]:
        """Names of the fields that are not None."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __getitem__(self, key: str | int) -> Value:
        if isinstance(key, int):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(key)
        value: Value = getattr(self, key)
        return value

    def __iter__(self) -> Iterator[Value]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass(kw_only=True, slots=True)
class BaseModelOutputWithPast(ModelOutput):
    """`last_hidden_state` (B, T, width), and what each layer gave.

    `hidden_states` (B, T, width) are the first block's input, each block's output but the last, and the last
    hidden state; `attentions` and `cross_attentions` (B, N, T, S) and `router_logits` (tokens, experts) one for each
    layer with them.
    """

    last_hidden_state: Tensor
    past_key_values: Cache | None = None
    hidden_states: Layers | None = None
    attentions: Layers | None = None
    cross_attentions: Layers | None = None
    router_logits: Layers | None = None


@dataclass(kw_only=True, slots=True)
class BaseModelOutputWithPooling(ModelOutput):
    """As the base output, with `pooler_output` (B, width) of encoders that have a pooler."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class CausalLMOutputWithPast(ModelOutput):
    """`logits` (B, T, vocabulary), of the last `logits_to_keep` tokens if that was given.

    Sparse models give `router_logits` (tokens, experts) of each sparse layer, and `aux_loss`, their balance,
    when they were asked for; `loss` then includes it.
    """

    loss: Tensor | None = None
    aux_loss: Tensor | None = None
    logits: Tensor
    past_key_values: Cache | None = None
    hidden_states: Layers | None = None
    attentions: Layers | None = None
    cross_attentions: Layers | None = None
    router_logits: Layers | None = None


@dataclass(kw_only=True, slots=True)
class MaskedLMOutput(ModelOutput):
    """`logits` (B, T, vocabulary)."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class TableQuestionAnsweringOutput(ModelOutput):
    """`logits` (B, T) of tokens of the answer, `logits_aggregation` (B, operations) where there are such."""

    loss: Tensor | None = None
    logits: Tensor
    logits_aggregation: Tensor | None = None
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class ReplacedTokensOutput(ModelOutput):
    """`logits` (B, T): above 0 where a token looks replaced."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class SequenceClassifierOutput(ModelOutput):
    """`logits` (B, labels)."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class TokenClassifierOutput(ModelOutput):
    """`logits` (B, T, labels)."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class QuestionAnsweringModelOutput(ModelOutput):
    """`start_logits` and `end_logits` (B, T)."""

    loss: Tensor | None = None
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class MultipleChoiceModelOutput(ModelOutput):
    """`logits` (B, choices)."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class NextSentencePredictorOutput(ModelOutput):
    """`logits` (B, 2): column 0 says that the second sentence continues the first."""

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class PreTrainingOutput(ModelOutput):
    """`prediction_logits` (B, T, vocabulary) and `seq_relationship_logits` (B, 2), which ALBERT calls `sop_logits`."""

    loss: Tensor | None = None
    prediction_logits: Tensor
    seq_relationship_logits: Tensor
    hidden_states: Layers | None = None
    attentions: Layers | None = None

    @property
    def sop_logits(self) -> Tensor:
        """Whether two sentences are in order, (B, 2)."""
        return self.seq_relationship_logits


@dataclass(kw_only=True, slots=True)
class Seq2SeqModelOutput(ModelOutput):
    """The decoder's `last_hidden_state` (B, T, width), and what each layer of both stacks gave.

    `encoder_last_hidden_state` (B, S, width); `cross_attentions` (B, N, T, S).
    """

    last_hidden_state: Tensor
    past_key_values: Cache | None = None
    decoder_hidden_states: Layers | None = None
    decoder_attentions: Layers | None = None
    cross_attentions: Layers | None = None
    encoder_last_hidden_state: Tensor
    encoder_hidden_states: Layers | None = None
    encoder_attentions: Layers | None = None
    router_logits: Layers | None = None


@dataclass(kw_only=True, slots=True)
class Seq2SeqLMOutput(ModelOutput):
    """`logits` (B, T, vocabulary) of each next token of the decoder."""

    loss: Tensor | None = None
    logits: Tensor
    past_key_values: Cache | None = None
    decoder_hidden_states: Layers | None = None
    decoder_attentions: Layers | None = None
    cross_attentions: Layers | None = None
    encoder_last_hidden_state: Tensor
    encoder_hidden_states: Layers | None = None
    encoder_attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class Seq2SeqSequenceClassifierOutput(ModelOutput):
    """`logits` (B, labels)."""

    loss: Tensor | None = None
    logits: Tensor
    past_key_values: Cache | None = None
    decoder_hidden_states: Layers | None = None
    decoder_attentions: Layers | None = None
    cross_attentions: Layers | None = None
    encoder_last_hidden_state: Tensor
    encoder_hidden_states: Layers | None = None
    encoder_attentions: Layers | None = None


@dataclass(kw_only=True, slots=True)
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """`start_logits` and `end_logits` (B, T) of the decoder's tokens."""

    loss: Tensor | None = None
    start_logits: Tensor
    end_logits: Tensor
    past_key_values: Cache | None = None
    decoder_hidden_states: Layers | None = None
    decoder_attentions: Layers | None = None
    cross_attentions: Layers | None = None
    encoder_last_hidden_state: Tensor
    encoder_hidden_states: Layers | None = None
    encoder_attentions: Layers | None = None
