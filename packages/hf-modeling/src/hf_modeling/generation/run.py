"""A run: one call's state while tokens are chosen, shared by every way to decode; and the plain loop.

B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.generation.compiled import Step
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
    processors: Sequence[LogitsProcessor] = ()
    criteria: Sequence[StoppingCriteria] = ()
    record: Record | None = None
    copies: int = 1
    """How many rows in a row have the same prompt."""
    compiled: Step | None = None
    """Runs single tokens instead of the model itself."""
    needs_hidden: bool = False
    """Whether choosing tokens takes hidden states."""
    length: int = field(init=False)
    """Tokens in `ids`."""
    generated: int = 0
    """Tokens after the prompt."""
    room: int = field(init=False)
    """Tokens that may still come."""
    reasons: list[FinishReason | None] = field(init=False)
    """Why each sequence ended; None while it runs."""
    over: bool = False
    """Whether every sequence ended."""
    _buffer: Tensor = field(init=False)

    def __post_init__(self) -> None:
        prompt = self.prompt
        self.length = prompt.ids.shape[1]
        self.room = self.plan.max_length - prompt.length
        self.reasons = [None] * prompt.batch
        # One buffer for all tokens: adding one never copies those before it.
        self._buffer = prompt.ids.new_empty(prompt.batch, self.length + ROOM)
        self._buffer[:, : self.length] = prompt.ids

    @property
    def ids(self) -> Tensor:
        """All tokens so far, (B, T), padding on the left."""
        return self._buffer[:, : self.length]

    def prefill(self) -> CausalLMOutputWithPast:
        """Run the prompt, without the part that the cache holds; logits of its last token only."""
        prompt, cache, copies = self.prompt, self.cache, self.copies
        # Equal prompts run once, and every copy goes on from there.
        shared = copies > 1 and cache is not None and not self.needs_hidden and self.record is None
        if shared:
            prompt = prompt.every(copies)
        if prompt.embeds is not None:
            output = self.call(None, mask=prompt.mask, embeds=prompt.embeds)
        else:
            known = 0 if cache is None else cache.length
            chunk = self.plan.config.prefill_chunk_size or prompt.length
            while cache is not None and prompt.length - known > chunk:
                mask = None if prompt.mask is None else prompt.mask[:, : known + chunk]
                self.call(prompt.ids[:, known : known + chunk], mask=mask)
                known += chunk
            output = self.call(prompt.ids[:, known:], mask=prompt.mask)
        if not shared or cache is None:
            return output
        cache.batch_repeat_interleave(copies)
        return replace(output, logits=output.logits.repeat_interleave(copies, dim=0))

    def step(self, ids: Tensor) -> CausalLMOutputWithPast:
        """Run the latest token of these sequences, or without a cache the whole text again."""
        if self.cache is not None:
            if self.compiled is None:
                return self.call(ids[:, -1:])
            # A graph may reuse its output's memory at the next step.
            logits = self.compiled(ids[:, -1:], self.cache).clone()
            return CausalLMOutputWithPast(logits=logits, past_key_values=self.cache)
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
        record = self.record
        return self.model(
            ids,
            attention_mask=mask,
            past_key_values=self.cache,
            inputs_embeds=embeds,
            use_cache=self.cache is not None,
            output_attentions=record is not None and record.attentions is not None,
            output_hidden_states=self.needs_hidden
            or (record is not None and record.hidden_states is not None),
            logits_to_keep=keep,
        )

    def scores(
        self, output: CausalLMOutputWithPast, ids: Tensor | None = None, *, log: bool = False
    ) -> Tensor:
        """Scores (B, V) of the next token after all processors: logits, or log-probabilities."""
        logits = output.logits[:, -1].float()
        scores = logits.log_softmax(dim=-1) if log else logits
        if self.processors:
            scores = self.processed(scores, ids)
        if self.record is not None:
            self.record.add(output, logits, scores)
        return scores

    def processed(self, scores: Tensor, ids: Tensor | None = None) -> Tensor:
        """Scores (B, V) after all processors, not recorded."""
        ids = self.ids if ids is None else ids
        for processor in self.processors:
            scores = processor(ids, scores)
        return scores

    def append(self, tokens_B: Tensor) -> list[int]:
        """Add one token a row, filler for those that ended; returns them, -1 for rows that had ended."""
        values: list[int] = tokens_B.tolist()
        reasons, eos = self.reasons, self.plan.eos
        if any(reasons):
            ended = [reason is not None for reason in reasons]
            tokens_B = tokens_B.masked_fill(torch.tensor(ended, device=tokens_B.device), self.plan.filler)
            values = [-1 if gone else value for value, gone in zip(values, ended, strict=True)]
        if self.length == self._buffer.shape[1]:
            more = self._buffer.new_empty(len(values), max(ROOM, self.length // 2))
            self._buffer = torch.cat([self._buffer, more], dim=1)
        self._buffer[:, self.length] = tokens_B
        self.length, self.generated, self.room = self.length + 1, self.generated + 1, self.room - 1
        for row, value in enumerate(values):
            if value in eos:
                reasons[row] = FinishReason.STOP
        if self.criteria:
            self._ask_criteria()
        if self.room <= 0:
            self.reasons = reasons = [reason or FinishReason.LENGTH for reason in reasons]
        self.over = None not in reasons
        return values

    def _ask_criteria(self) -> None:
        scores = None if self.record is None or self.record.scores is None else tuple(self.record.scores)
        for criterion in self.criteria:
            for row, done in enumerate(criterion(self.ids, scores).tolist()):
                if done and self.reasons[row] is None:
                    self.reasons[row] = reason_of(criterion)

    def output(self) -> GenerateOutput:
        """The prompt as it was given and what follows it, with everything that was recorded."""
        reasons = tuple(reason or FinishReason.CANCELLED for reason in self.reasons)
        with torch.inference_mode(False):  # an answer may be trained on
            answer = self._buffer[:, self.prompt.ids.shape[1] : self.length]
            sequences = torch.cat([self.prompt.given, answer], dim=1)
        if self.record is None:
            return GenerateOutput(sequences=sequences, finish_reasons=reasons, past_key_values=self.cache)
        return self.record.output(sequences, reasons, self.cache)


def decode(run: Run) -> Iterator[list[int]]:
    """Choose token after token until every sequence ended; gives the tokens of each step, -1 for ended rows."""
    output = run.prefill()
    plain = run.cache is not None and run.compiled is None
    while True:
        tokens_B = run.sampler(run.scores(output), run.generated)
        yield run.append(tokens_B)
        if run.over:
            return
        # What an ended row is given next is of no consequence.
        output = run.call(tokens_B[:, None]) if plain else run.step(run.ids)
