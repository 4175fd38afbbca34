"""A run: one call's state while tokens are chosen, shared by every way to decode.

B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.output import GenerateOutput, Record
from hf_modeling.generation.plan import Plan
from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.prompt import Prompt
from hf_modeling.generation.sampling import Sampler
from hf_modeling.generation.stopping import FinishReason, StoppingCriteria, reason_of
from hf_modeling.outputs import CausalLMOutputWithPast

ROOM = 256
"""Tokens that the buffer of ids grows by, at least."""


@dataclass(slots=True)
class Run:
    """The model, what was decided, and the sequences so far."""

    model: LanguageModel
    plan: Plan
    prompt: Prompt
    cache: Cache | None
    sampler: Sampler
    processors: Sequence[LogitsProcessor]
    criteria: Sequence[StoppingCriteria]
    record: Record
    copies: int = 1
    """How many rows in a row have the same prompt."""
    needs_hidden: bool = False
    """Whether choosing tokens takes hidden states."""
    length: int = 0
    """Tokens in `ids`."""
    reasons: list[FinishReason | None] = field(default_factory=list)
    """Why each sequence ended; None while it runs."""
    _buffer: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.length = self.prompt.ids.shape[1]
        self.reasons = [None] * self.prompt.batch
        # One buffer for all tokens: adding one never copies those before it.
        self._buffer = self.prompt.ids.new_empty(self.prompt.batch, self.length + ROOM)
        self._buffer[:, : self.length] = self.prompt.ids

    @property
    def ids(self) -> Tensor:
        """All tokens so far, (B, T), padding on the left."""
        return self._buffer[:, : self.length]

    @property
    def generated(self) -> int:
        """Tokens after the prompt."""
        return self.length - self.prompt.ids.shape[1]

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self.plan.max_length - self.prompt.length - self.generated

    def prefill(self) -> CausalLMOutputWithPast:
        """Run the prompt, without the part that the cache holds; logits of its last token only."""
        cache = self.cache
        if self.copies == 1 or cache is None or self.record.keeps_layers or self.needs_hidden:
            return self._prefill(self.prompt)
        # Equal prompts run once, and every copy goes on from there.
        output = self._prefill(self.prompt.every(self.copies))
        cache.batch_repeat_interleave(self.copies)
        return replace(output, logits=output.logits.repeat_interleave(self.copies, dim=0))

    def _prefill(self, prompt: Prompt) -> CausalLMOutputWithPast:
        cache = self.cache
        known = 0 if cache is None else cache.length
        chunk = self.plan.config.prefill_chunk_size
        if prompt.embeds is None and chunk is not None and cache is not None:
            while prompt.length - known > chunk:
                mask = None if prompt.mask is None else prompt.mask[:, : known + chunk]
                self.call(prompt.ids[:, known : known + chunk], mask=mask)
                known += chunk
        if prompt.embeds is None:
            return self.call(prompt.ids[:, known:], mask=prompt.mask)
        return self.call(None, mask=prompt.mask, embeds=prompt.embeds)

    def step(self, ids: Tensor | None = None) -> CausalLMOutputWithPast:
        """Run the latest token of these sequences, or without a cache the whole text again."""
        ids = self.ids if ids is None else ids
        if self.cache is not None:
            return self.call(ids[:, -1:])
        mask = self.prompt.mask
        if mask is not None:
            mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
        return self.call(ids, mask=mask)

    def call(
        self,
        ids: Tensor | None,
        *,
        mask: Tensor | None = None,
        embeds: Tensor | None = None,
        keep: int = 1,
    ) -> CausalLMOutputWithPast:
        """One call of the model; logits of the last `keep` tokens."""
        return self.model(
            ids,
            attention_mask=mask,
            past_key_values=self.cache,
            inputs_embeds=embeds,
            use_cache=self.cache is not None,
            output_attentions=self.record.attentions is not None,
            output_hidden_states=self.needs_hidden or self.record.hidden_states is not None,
            logits_to_keep=keep,
        )

    def scores(self, logits: Tensor, ids: Tensor | None = None, *, normalise: bool = False) -> Tensor:
        """Logits (B, V), or log-probabilities, after all processors, in single precision."""
        logits = logits.float()
        scores = self.processed(logits.log_softmax(dim=-1) if normalise else logits, ids)
        self.record.add_scores(logits, scores)
        return scores

    def processed(self, scores: Tensor, ids: Tensor | None = None) -> Tensor:
        """Scores (B, V) after all processors, not recorded."""
        for processor in self.processors:
            scores = processor(self.ids if ids is None else ids, scores)
        return scores

    def append(self, tokens_B: Tensor) -> list[int]:
        """Add one token a row, filler for those that ended; returns them, -1 for rows that had ended."""
        values: list[int] = tokens_B.tolist()
        if any(self.reasons):
            filler = self.plan.filler
            ended = [reason is not None for reason in self.reasons]
            tokens_B = tokens_B.masked_fill(torch.tensor(ended, device=tokens_B.device), filler)
            values = [-1 if gone else value for value, gone in zip(values, ended, strict=True)]
        self._reserve(self.length + 1)
        self._buffer[:, self.length] = tokens_B
        self.length += 1
        self._note_endings(values)
        return values

    @property
    def is_over(self) -> bool:
        """Whether every sequence ended."""
        return None not in self.reasons

    def _note_endings(self, values: list[int]) -> None:
        reasons, eos = self.reasons, self.plan.eos
        for row, value in enumerate(values):
            if value in eos and reasons[row] is None:
                reasons[row] = FinishReason.STOP
        if self.criteria:
            kept = None if self.record.scores is None else tuple(self.record.scores)
            for criterion in self.criteria:
                for row, done in enumerate(criterion(self.ids, kept).tolist()):
                    if done and reasons[row] is None:
                        reasons[row] = reason_of(criterion)
        if self.room <= 0:
            self.reasons = [reason or FinishReason.LENGTH for reason in reasons]

    def _reserve(self, tokens: int) -> None:
        if tokens > self._buffer.shape[1]:
            larger = self._buffer.new_empty(self._buffer.shape[0], tokens + max(ROOM, tokens // 2))
            larger[:, : self.length] = self.ids
            self._buffer = larger

    def sequences(self) -> Tensor:
        """The prompt as it was given, and what was generated."""
        return torch.cat([self.prompt.given, self.ids[:, self.prompt.ids.shape[1] :]], dim=1)

    def output(self) -> GenerateOutput:
        """The answer with everything that was recorded."""
        reasons = [reason or FinishReason.CANCELLED for reason in self.reasons]
        return self.record.output(self.sequences(), reasons, self.cache)
