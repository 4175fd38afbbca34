"""What `generate` returns when asked for more than ids, and how it is collected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.generation.stopping import FinishReason
from hf_modeling.outputs import CausalLMOutputWithPast

Steps = tuple[Tensor, ...]
"""One tensor for each generated token."""
LayerSteps = tuple[tuple[Tensor, ...], ...]
"""For each generated token one tensor a layer; the first covers the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateOutput:
    """Generated sequences and, where asked for, how they came about. Fields not asked for are None."""

    sequences: Tensor
    """Prompt and answer (B, T), finished rows filled with the padding token."""
    finish_reasons: tuple[FinishReason, ...]
    """Why each sequence ended."""
    scores: Steps | None = None
    """Logits (B, V) after all processors."""
    logits: Steps | None = None
    """Logits (B, V) as the model gave them."""
    attentions: LayerSteps | None = None
    cross_attentions: LayerSteps | None = None
    """Of encoder-decoders, with `attentions`: how much each token took from the text."""
    hidden_states: LayerSteps | None = None
    past_key_values: Cache | None = None
    sequences_scores: Tensor | None = None
    """Final score of each sequence of a beam search."""
    beam_indices: Tensor | None = None
    """For each new token the row of `scores` it was chosen from, -1 after the end."""

    def __getitem__(self, name: str) -> object:
        if name not in self.keys():
            raise KeyError(name)
        value: object = getattr(self, name)
        return value

    def keys(self) -> tuple[str, ...]:
        """Names of the fields that are not None."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) is not None)


@dataclass(slots=True)
class Record:
    """Collects what was asked for, step by step."""

    scores: list[Tensor] | None = None
    logits: list[Tensor] | None = None
    attentions: list[tuple[Tensor, ...]] | None = None
    cross_attentions: list[tuple[Tensor, ...]] = field(default_factory=list)
    hidden_states: list[tuple[Tensor, ...]] | None = None

    @property
    def keeps_layers(self) -> bool:
        """Whether the model has to give more than logits."""
        return self.attentions is not None or self.hidden_states is not None

    @classmethod
    def of(cls, *, scores: bool, logits: bool, attentions: bool, hidden_states: bool) -> Record:
        """A record of what is set."""
        return cls(
            scores=[] if scores else None,
            logits=[] if logits else None,
            attentions=[] if attentions else None,
            hidden_states=[] if hidden_states else None,
        )

    def add(self, output: CausalLMOutputWithPast, logits: Tensor, scores: Tensor) -> None:
        """Keep what a step gave: its layers, raw logits, and scores."""
        self.add_layers(output)
        self.add_scores(logits, scores)

    def add_layers(self, output: CausalLMOutputWithPast) -> None:
        """Keep what the layers gave."""
        if self.attentions is not None:
            self.attentions.append(output.attentions or ())
            if output.cross_attentions is not None:
                self.cross_attentions.append(output.cross_attentions)
        if self.hidden_states is not None:
            self.hidden_states.append(output.hidden_states or ())

    def add_scores(self, logits: Tensor, scores: Tensor) -> None:
        """Keep raw and processed logits of a token."""
        if self.logits is not None:
            self.logits.append(logits)
        if self.scores is not None:
            self.scores.append(scores)

    def output(
        self,
        sequences: Tensor,
        reasons: tuple[FinishReason, ...],
        cache: Cache | None,
        *,
        sequences_scores: Tensor | None = None,
        beam_indices: Tensor | None = None,
    ) -> GenerateOutput:
        """Everything collected, with the answer; tensors that gradients may be taken with."""
        return GenerateOutput(
            sequences=_usable(sequences),
            finish_reasons=reasons,
            scores=_each(self.scores),
            logits=_each(self.logits),
            attentions=None if self.attentions is None else tuple(map(_all_of, self.attentions)),
            cross_attentions=tuple(map(_all_of, self.cross_attentions)) or None,
            hidden_states=None if self.hidden_states is None else tuple(map(_all_of, self.hidden_states)),
            past_key_values=cache,
            sequences_scores=None if sequences_scores is None else _usable(sequences_scores),
            beam_indices=None if beam_indices is None else _usable(beam_indices),
        )


def _usable(tensor: Tensor) -> Tensor:
    """A tensor of inference mode cannot take part in training, so the answer is copied out of it."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def _all_of(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return tuple(map(_usable, tensors))


def _each(tensors: list[Tensor] | None) -> tuple[Tensor, ...] | None:
    return None if tensors is None else _all_of(tensors)
