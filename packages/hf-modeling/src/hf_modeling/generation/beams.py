"""Beam search as pure functions on tensors: one step from a state to the next, no loop over sequences.

A batch of B prompts has K running hypotheses each, and keeps its K best finished ones. Every step scores all
K*V continuations of a prompt, takes the best few, sets those that ended apart, and runs on with the others.
Scores are sums of log-probabilities; finished ones are divided by length ** length_penalty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

# Axes: B prompts, K beams, C candidates, T tokens (allocated), N new tokens (allocated), V vocabulary.

WORST = -1e9
"""The score of a hypothesis that is no candidate: finite, so that sums and comparisons stay defined."""

EarlyStopping: TypeAlias = bool | Literal["never"]
"""True: stop with K finished. False: stop when no running one is better. "never": when none can become so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BeamRules:
    """What a beam search is asked for; lengths count the prompt."""

    num_beams: int
    prompt_length: int
    max_length: int
    end_tokens: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False

    @property
    def candidates(self) -> int:
        """Continuations looked at per prompt: enough that K remain when all end tokens are among them."""
        return max(2, 1 + self.end_tokens) * self.num_beams


@dataclass(frozen=True, kw_only=True, slots=True)
class BeamState:
    """Hypotheses between two steps."""

    ids_BKT: Tensor
    """Running hypotheses, filled up to `length`."""
    score_BK: Tensor
    origin_BKN: Tensor
    """The flat row (B*K) whose logits each new token came from; -1 where there is none."""
    done_ids_BKT: Tensor
    done_score_BK: Tensor
    done_origin_BKN: Tensor
    done_BK: Tensor
    """Which finished places are taken."""
    open_B: Tensor
    """Prompts whose running hypotheses can still beat a finished one."""
    length: int

    @property
    def flat_ids(self) -> Tensor:
        """Running hypotheses as a batch (B*K, length)."""
        return self.ids_BKT[:, :, : self.length].flatten(0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The best continuations of a step, best first."""

    ids_BCT: Tensor
    score_BC: Tensor
    origin_BCN: Tensor


def start(prompt_ids: Tensor, rules: BeamRules, fill: int) -> BeamState:
    """K equal hypotheses of every prompt (B, T0), of which the first alone counts; `fill` pads the unused."""
    batch, length = prompt_ids.shape
    device, beams = prompt_ids.device, rules.num_beams
    ids = torch.full((batch, beams, rules.max_length), fill, dtype=torch.long, device=device)
    ids[:, :, :length] = prompt_ids[:, None]
    score = torch.zeros(batch, beams, device=device)
    score[:, 1:] = WORST
    origin = torch.full((batch, beams, rules.max_length - length), -1, dtype=torch.long, device=device)
    return BeamState(
        ids_BKT=ids,
        score_BK=score,
        origin_BKN=origin,
        done_ids_BKT=ids.clone(),
        done_score_BK=torch.full_like(score, WORST),
        done_origin_BKN=origin.clone(),
        done_BK=torch.zeros(batch, beams, dtype=torch.bool, device=device),
        open_B=torch.ones(batch, dtype=torch.bool, device=device),
        length=length,
    )


def extend(state: BeamState, log_p: Tensor, rules: BeamRules, sampled: torch.Generator | bool) -> Candidates:
    """The best continuations, given log-probabilities (B*K, V); drawn without replacement when `sampled`."""
    batch, beams = state.score_BK.shape
    vocabulary = log_p.shape[-1]
    total = (log_p.view(batch, beams, vocabulary) + state.score_BK[..., None]).flatten(1)
    count = min(rules.candidates, total.shape[-1])
    if sampled is False:
        score_BC, flat_BC = total.topk(count)
    else:
        generator = sampled if isinstance(sampled, torch.Generator) else None
        flat_BC = torch.multinomial(total.softmax(dim=-1), count, generator=generator)
        score_BC = total.gather(1, flat_BC)
    beam_BC = flat_BC // vocabulary
    return append(state, beam_BC, flat_BC % vocabulary, score_BC)


def settle(state: BeamState, found: Candidates, ended_BC: Tensor, rules: BeamRules) -> BeamState:
    """The state after a step: ended candidates compete for finished places, the others run on."""
    beams = rules.num_beams
    finished = _finish(state, found, ended_BC, rules)
    score_BC = found.score_BC + ended_BC * WORST
    best_BK = score_BC.topk(beams).indices
    after = replace(
        finished,
        ids_BKT=_take(found.ids_BCT, best_BK),
        score_BK=score_BC.gather(1, best_BK),
        origin_BKN=_take(found.origin_BCN, best_BK),
        length=state.length + 1,
    )
    return replace(after, open_B=state.open_B & _may_improve(after, rules))


def rows_of(state: BeamState, rules: BeamRules) -> Tensor:
    """For each running hypothesis the flat row (B*K,) whose cache it continues."""
    return state.origin_BKN[:, :, state.length - 1 - rules.prompt_length].flatten()


def finished(state: BeamState, ended_BC: Tensor, rules: BeamRules) -> bool:
    """Whether no step can change the answer."""
    full = rules.early_stopping is True and bool(state.done_BK.all())
    return full or not bool(state.open_B.any()) or bool(ended_BC.all())


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypotheses:
    """The best finished hypotheses of every prompt, best first, flat over prompts."""

    ids: Tensor
    scores: Tensor
    origins: Tensor


def answer(state: BeamState, rules: BeamRules, count: int) -> Hypotheses:
    """The `count` best of each prompt, cut to the longest of them."""
    origins = state.done_origin_BKN[:, :count].flatten(0, 1)
    longest = int((origins >= 0).sum(dim=-1).max())
    return Hypotheses(
        ids=state.done_ids_BKT[:, :count].flatten(0, 1)[:, : rules.prompt_length + longest],
        scores=state.done_score_BK[:, :count].flatten(),
        origins=origins[:, :longest],
    )


def append(state: BeamState, beam_BC: Tensor, token_BC: Tensor, score_BC: Tensor) -> Candidates:
    """Hypotheses `beam_BC` with one token more."""
    batch, beams = state.score_BK.shape
    ids_BCT, origin_BCN = _take(state.ids_BKT, beam_BC), _take(state.origin_BKN, beam_BC)
    ids_BCT[:, :, state.length] = token_BC
    first_row_B1 = torch.arange(batch, device=beam_BC.device)[:, None] * beams
    origin_BCN[:, :, state.length - (state.ids_BKT.shape[-1] - state.origin_BKN.shape[-1])] = (
        beam_BC + first_row_B1
    )
    return Candidates(ids_BCT=ids_BCT, score_BC=score_BC, origin_BCN=origin_BCN)


def _finish(state: BeamState, found: Candidates, ended_BC: Tensor, rules: BeamRules) -> BeamState:
    """Finished places after the ended ones among the K best candidates competed for them."""
    newly_BC = ended_BC.clone()
    newly_BC[:, rules.num_beams :] = False  # one that ended outside of the K best is dropped
    length = state.length + 1 - rules.prompt_length
    score_BC = found.score_BC / math.pow(length, rules.length_penalty)
    score_BC = score_BC + ~newly_BC * WORST + ~state.open_B[:, None] * WORST
    if rules.early_stopping is True:
        score_BC = score_BC + state.done_BK.all(dim=-1, keepdim=True) * WORST
    merged = torch.cat([state.done_score_BK, score_BC], dim=1)
    best_BK = merged.topk(rules.num_beams).indices
    return replace(
        state,
        done_ids_BKT=_take(torch.cat([state.done_ids_BKT, found.ids_BCT], dim=1), best_BK),
        done_score_BK=merged.gather(1, best_BK),
        done_origin_BKN=_take(torch.cat([state.done_origin_BKN, found.origin_BCN], dim=1), best_BK),
        done_BK=torch.cat([state.done_BK, newly_BC], dim=1).gather(1, best_BK),
    )


def _may_improve(state: BeamState, rules: BeamRules) -> Tensor:
    """Prompts (B,) where the best running hypothesis can end up above the worst finished one."""
    optimistic = rules.early_stopping == "never" and rules.length_penalty > 0
    length = (rules.max_length if optimistic else state.length) - rules.prompt_length
    best_B1 = state.score_BK[:, :1] / math.pow(length, rules.length_penalty)
    worst_BK = torch.where(state.done_BK, state.done_score_BK.amin(dim=1, keepdim=True), WORST)
    return (best_B1 > worst_BK).any(dim=-1)


def _take(rows_BKX: Tensor, index_BC: Tensor) -> Tensor:
    """Rows of the second axis by index."""
    return rows_BKX.gather(1, index_BC[..., None].expand(-1, -1, rows_BKX.shape[-1]))
