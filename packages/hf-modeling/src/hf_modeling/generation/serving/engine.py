"""The engine of continuous batching: requests come and go, every step runs what there is.

A step asks the scheduler what runs, calls the model once for all that decode and once for each part of a prompt,
chooses tokens, and hands out events. Nothing here knows threads: one caller drives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from hf_config import GenerationConfig
from hf_modeling.cache.paged import BlockStore, StepRow
from hf_modeling.cache.states import Append, Layout, Replace, Ring
from hf_modeling.generation.assemble import make_criteria, make_processors
from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import merge_options
from hf_modeling.generation.plan import BEAMS, Plan, make_plan, token_ids
from hf_modeling.generation.prompt import prepare_prompt
from hf_modeling.generation.serving.blocks import BlockManager
from hf_modeling.generation.serving.choose import Chooser, Stream, choose
from hf_modeling.generation.serving.request import Request, TokenEvent
from hf_modeling.generation.serving.scheduler import Chunk, Limits, Scheduler, Track
from hf_modeling.generation.start import checkpoint_options
from hf_modeling.generation.stopping import FinishReason, StoppingCriteria, reason_of
from hf_modeling.generation.text import Detokenizer, TextStream
from hf_modeling.packed import prepare_for_inference
from hf_modeling.packed.memory import available_bytes

MEMORY_SHARE = 0.25
"""Part of the available memory that the cache takes when nobody says how much."""
MOST_TOKENS = 1 << 18
"""Tokens that the cache holds at most when nobody says how much memory it may take."""


@dataclass(slots=True)
class _Live:
    """A request that has not ended."""

    track: Track
    plan: Plan
    chooser: Chooser
    criteria: Sequence[StoppingCriteria]
    text: TextStream | None
    prompt_length: int


@final
class Engine:
    """Generates for many requests at a time, each with its own options.

    Args:
        model: a causal language model; it is prepared for inference.
        generation_config: options that requests start from; unset ones come from the checkpoint.
        tokenizer: gives events their text; stop strings need it.
        memory: bytes for keys and values; a quarter of what is available when None.
        block_size: tokens in a block of the cache.
        limits: bounds of one step.
        share_prefixes: whether prompts that begin alike share what was computed.
    """

    def __init__(
        self,
        model: LanguageModel,
        generation_config: GenerationConfig | None = None,
        *,
        tokenizer: Detokenizer | None = None,
        memory: int | None = None,
        block_size: int = 16,
        limits: Limits | None = None,
        share_prefixes: bool = True,
    ) -> None:
        if isinstance(model, nn.Module):
            prepare_for_inference(model)
        self._model, self._tokenizer = model, tokenizer
        own = checkpoint_options(model)
        self._defaults = own if generation_config is None else own.merged(generation_config)
        layout = model.new_cache().layout
        blocks = _block_count(layout, block_size, model.dtype.itemsize, memory, model.device)
        self._store = BlockStore(
            layout, blocks=blocks, block_size=block_size, dtype=model.dtype, device=model.device
        )
        manager = BlockManager(
            blocks, block_size, share_prefixes=share_prefixes and not self._store.recurrent
        )
        self.scheduler = Scheduler(blocks=manager, limits=limits or Limits())
        self._live: dict[int, _Live] = {}
        self._next = 0

    @property
    def has_work(self) -> bool:
        """Whether any request has not ended."""
        return bool(self._live)

    @property
    def blocks_in_use(self) -> int:
        """Blocks of the cache that requests hold."""
        return self.scheduler.blocks.in_use

    def nbytes(self) -> int:
        """Bytes of the cache."""
        return self._store.nbytes()

    def add(self, request: Request) -> int:
        """Queue a request; returns its number, which its events carry.

        Raises:
            GenerationError, ConfigError: of the kind that says what is wrong with it. The engine goes on.
        """
        config = merge_options(self._defaults, None, request.options)
        eos = token_ids(config.eos_token_id)
        ids = torch.tensor([list(request.prompt)], dtype=torch.long, device=self._model.device)
        prompt = prepare_prompt(
            ids.view(1, -1),
            mask=torch.ones_like(ids),
            embeds=None,
            device=self._model.device,
            vocabulary=self._model.vocabulary_size,
            pad=None,
            eos=eos,
            bos=config.bos_token_id,
        )
        plan = make_plan(
            config,
            self._model.config,
            eos,
            prompt_length=prompt.length,
            frequency_penalty=request.frequency_penalty,
            presence_penalty=request.presence_penalty,
        )
        if plan.mode in BEAMS or plan.num_return_sequences > 1:
            raise OptionError("options", plan.mode.value, "one sequence a request, greedy or sampled")
        processors = make_processors(
            plan, prompt, vocabulary=self._model.vocabulary_size, custom=request.logits_processor
        )
        criteria = make_criteria(plan, custom=request.stopping_criteria, tokenizer=self._tokenizer)
        track = self.scheduler.add(self._next, request.prompt, plan.max_length)
        self._live[track.id] = _Live(
            track=track,
            plan=plan,
            chooser=Chooser(processors=processors, stream=Stream(request.seed) if config.do_sample else None),
            criteria=criteria,
            text=self._new_text(),
            prompt_length=prompt.length,
        )
        self._next += 1
        return track.id

    def fork(self, request: int, seed: int | None = None) -> int:
        """A second request that goes on from where this one is, sharing what was computed; returns its number."""
        live = self._live[request]
        track = self.scheduler.fork(request, self._next)
        self._store.fork(request, track.id)
        stream = None if live.chooser.stream is None else Stream(seed)
        chooser = Chooser(processors=live.chooser.processors, stream=stream)
        self._live[track.id] = _Live(
            track=track,
            plan=live.plan,
            chooser=chooser,
            criteria=live.criteria,
            text=self._new_text(),
            prompt_length=live.prompt_length,
        )
        self._next += 1
        return track.id

    def cancel(self, request: int) -> bool:
        """End a request and give back its memory at once; False if it had ended."""
        known = request in self._live
        self._drop(request)
        return known

    def step(self) -> list[TokenEvent]:
        """Run the model once over what is to be done; what happened to whom."""
        with torch.inference_mode():
            plan = self.scheduler.plan()
            for request in plan.preempted:
                self._store.forget(request)
            self._store.copy(plan.copies)
            decoding = [chunk for chunk in plan.chunks if chunk.stop - chunk.start == 1]
            filling = [chunk for chunk in plan.chunks if chunk.stop - chunk.start > 1]
            events: list[TokenEvent] = []
            for chunks in ([decoding] if decoding else []) + [[chunk] for chunk in filling]:
                events.extend(self._run(chunks))
            return events

    def run(self) -> Iterator[TokenEvent]:
        """Events until nothing is left to do; requests may be added and cancelled meanwhile."""
        while self.has_work:
            yield from self.step()

    def _run(self, chunks: Sequence[Chunk]) -> list[TokenEvent]:
        try:
            logits_BV = self._forward(chunks)
        except Exception as error:  # noqa: BLE001 - a failing request must not take the others with it
            if len(chunks) == 1 or self._store.recurrent:
                return [self._failed(chunk.track.id, error) for chunk in chunks]
            return [event for chunk in chunks for event in self._run([chunk])]
        for chunk in chunks:
            self.scheduler.ran(chunk)
        rows = [row for row, chunk in enumerate(chunks) if chunk.last]
        lives = [self._live[chunks[row].track.id] for row in rows]
        tokens = choose(
            logits_BV if len(rows) == len(chunks) else logits_BV[rows],
            [live.chooser for live in lives],
            [live.track.tokens for live in lives],
            [len(live.track.tokens) - live.prompt_length for live in lives],
        )
        return [self._chosen(live, token) for live, token in zip(lives, tokens, strict=True)]

    def _forward(self, chunks: Sequence[Chunk]) -> Tensor:
        """Logits (B, V) after the last token of each chunk; all have the same number of tokens."""
        table = self.scheduler.blocks.table
        rows = [StepRow(sequence=c.track.id, table=table(c.track.id), length=c.start) for c in chunks]
        ids = torch.tensor([c.track.tokens[c.start : c.stop] for c in chunks], device=self._model.device)
        cache = self._store.step(rows, ids.shape[1])
        return self._model(ids, past_key_values=cache, logits_to_keep=1).logits[:, -1]

    def _chosen(self, live: _Live, token: int | Exception) -> TokenEvent:
        """Add a token to its request, and see whether it ends."""
        track = live.track
        if isinstance(token, Exception):
            return self._failed(track.id, token)
        track.tokens.append(token)
        try:
            reason = self._reason(live, token)
            text = (
                "" if live.text is None else live.text.push([token]) + (live.text.finish() if reason else "")
            )
        except Exception as error:  # noqa: BLE001 - whatever a request's own callable raises is its own affair
            return self._failed(track.id, error)
        if reason is not None:
            self._drop(track.id)
        return TokenEvent(request=track.id, token=token, text=text, finish_reason=reason)

    def _reason(self, live: _Live, token: int) -> FinishReason | None:
        if token in live.plan.eos:
            return FinishReason.STOP
        if live.criteria:
            ids = torch.tensor([live.track.tokens], device=self._model.device)
            for criterion in live.criteria:
                if bool(criterion(ids, None)[0]):
                    return reason_of(criterion)
        return FinishReason.LENGTH if len(live.track.tokens) >= live.plan.max_length else None

    def _failed(self, request: int, error: Exception) -> TokenEvent:
        self._drop(request)
        return TokenEvent(request=request, token=None, finish_reason=FinishReason.ERROR, error=error)

    def _drop(self, request: int) -> None:
        self._live.pop(request, None)
        self.scheduler.remove(request)
        self._store.forget(request)

    def _new_text(self) -> TextStream | None:
        return None if self._tokenizer is None else TextStream(self._tokenizer)


def _block_count(
    layout: Layout, block_size: int, itemsize: int, memory: int | None, device: torch.device
) -> int:
    """Blocks that fit into so many bytes."""
    features = sum(
        state.heads * state.features
        for states in layout
        for state in states.values()
        if isinstance(state, Append | Ring)
    )
    recurrent = any(isinstance(state, Replace) for states in layout for state in states.values())
    if not features:
        assert recurrent, "a model without any state has no use for an engine"
        return MOST_TOKENS // block_size
    block_bytes = features * block_size * itemsize
    if memory is not None:
        if memory < block_bytes:
            raise OptionError("memory", memory, f"at least one block, {block_bytes} bytes")
        return memory // block_bytes
    available = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    share = MOST_TOKENS * block_bytes if available is None else int(available * MEMORY_SHARE)
    return max(1, min(share // block_bytes, MOST_TOKENS // block_size))
