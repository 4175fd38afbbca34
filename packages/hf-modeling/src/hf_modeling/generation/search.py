"""Beam search around a model: plain, sampled, in diverse groups."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hf_modeling.generation.beams import (
    BeamRules,
    BeamState,
    Hypotheses,
    answer,
    extend,
    finished,
    rows_of,
    settle,
    start,
)
from hf_modeling.generation.output import GenerateOutput, Record
from hf_modeling.generation.run import Run
from hf_modeling.generation.stopping import FinishReason, reason_of

# Axes: B prompts, K beams, C candidates, T tokens, V vocabulary.


def rules_of(run: Run, beams: int) -> BeamRules:
    """What the options ask of a search with so many beams; lengths are those of the ids."""
    config, prompt = run.plan.config, run.prompt
    return BeamRules(
        num_beams=beams,
        prompt_length=prompt.ids.shape[1],
        max_length=run.plan.max_length - prompt.length + prompt.ids.shape[1],
        end_tokens=len(run.plan.eos),
        length_penalty=1.0 if config.length_penalty is None else config.length_penalty,
        early_stopping=False if config.early_stopping is None else config.early_stopping,
    )


def beam_search(run: Run) -> GenerateOutput:
    """The best sequences of every prompt; `run` has one row for each beam."""
    plan, beams = run.plan, run.plan.num_beams
    rules = rules_of(run, beams)
    state = start(run.prompt.ids[::beams], rules, plan.filler)
    sampled = bool(plan.config.do_sample)
    output = run.prefill()
    while True:
        log_p = run.scores(output, state.flat_ids, log=True)
        found = extend(state, log_p, rules, sampled)
        ended_BC = ended(run, found.ids_BCT[:, :, : state.length + 1], rules)
        state = settle(state, found, ended_BC, rules)
        if finished(state, ended_BC, rules):
            return finish(run, answer(state, rules, plan.num_return_sequences), rules)
        if run.cache is not None:
            run.cache.reorder(rows_of(state, rules))
        output = run.step(state.flat_ids)


def group_beam_search(run: Run) -> GenerateOutput:
    """The best sequences of every prompt, searched in groups that avoid each other's tokens.

    Groups choose one after the other; a token costs `diversity_penalty` for each beam of an earlier group that
    chose it at the same step (arXiv 1610.02424).
    """
    plan, config = run.plan, run.plan.config
    groups, beams = config.num_beam_groups or 1, run.plan.num_beams
    each = beams // groups
    rules, prompts = rules_of(run, each), run.prompt.ids[::beams]
    states = [start(prompts, rules, plan.filler) for _ in range(groups)]
    batch = prompts.shape[0]
    # Rows are (prompt, group, beam); a group's own rows are (prompt, beam).
    rows_BGE = torch.arange(batch * beams, device=prompts.device).view(batch, groups, each)
    going = [True] * groups
    output = run.prefill()
    while True:
        ids = torch.stack([state.flat_ids.view(batch, each, -1) for state in states], dim=1).flatten(0, 2)
        log_p = run.scores(output, ids, log=True)
        taken_BV = torch.zeros(batch, log_p.shape[-1], device=log_p.device)
        origin_BGE = rows_BGE.clone()
        for g, state in enumerate(states):
            if going[g]:
                penalty_BEV = (taken_BV * (config.diversity_penalty or 0.0)).repeat_interleave(each, dim=0)
                found = extend(state, log_p[rows_BGE[:, g].flatten()] - penalty_BEV, rules, False)
                ended_BC = ended(run, found.ids_BCT[:, :, : state.length + 1], rules)
                states[g] = settle(state, found, ended_BC, rules)
                going[g] = not finished(states[g], ended_BC, rules)
                own_B1 = torch.arange(batch, device=log_p.device)[:, None] * each
                origin_BGE[:, g] = rows_BGE[:, g].gather(
                    1, rows_of(states[g], rules).view(batch, each) - own_B1
                )
                latest_BE = states[g].ids_BKT[:, :, state.length]
                taken_BV.scatter_add_(1, latest_BE, torch.ones_like(latest_BE, dtype=taken_BV.dtype))
            else:
                states[g] = replace(state, length=state.length + 1)
        if not any(going):
            return finish(run, _best_of_groups(states, rules, plan.num_return_sequences), rules)
        if run.cache is not None:
            run.cache.reorder(origin_BGE.flatten())
        ids = torch.stack([state.flat_ids.view(batch, each, -1) for state in states], dim=1).flatten(0, 2)
        output = run.step(ids)


def ended(run: Run, ids_BCT: Tensor, rules: BeamRules) -> Tensor:
    """Which candidates (B, C) end with their last token."""
    flat = ids_BCT.flatten(0, 1)
    if flat.shape[1] >= rules.max_length:
        return torch.ones(ids_BCT.shape[:2], dtype=torch.bool, device=flat.device)
    done = torch.isin(flat[:, -1], torch.tensor(run.plan.eos, dtype=torch.long, device=flat.device))
    for criterion in run.criteria:
        done |= criterion(flat, None)
    return done.view(ids_BCT.shape[:2])


def finish(run: Run, best: Hypotheses, rules: BeamRules) -> GenerateOutput:
    """The answer of a search; what was given as the prompt stands in front again."""
    per_prompt = run.plan.num_return_sequences
    given = run.prompt.given[:: run.plan.num_beams].repeat_interleave(per_prompt, dim=0)
    return (run.record or Record()).output(
        torch.cat([given, best.ids[:, rules.prompt_length :]], dim=1),
        tuple(_reason(run, ids, origins, rules) for ids, origins in zip(best.ids, best.origins, strict=True)),
        run.cache,
        sequences_scores=best.scores,
        beam_indices=best.origins,
    )


def _reason(run: Run, ids_T: Tensor, origins_N: Tensor, rules: BeamRules) -> FinishReason:
    text = ids_T[: rules.prompt_length + int((origins_N >= 0).sum())]
    if int(text[-1]) in run.plan.eos:
        return FinishReason.STOP
    for criterion in run.criteria:
        if bool(criterion(text[None], None)[0]):
            return reason_of(criterion)
    return FinishReason.LENGTH


def _best_of_groups(states: list[BeamState], rules: BeamRules, count: int) -> Hypotheses:
    """The best finished hypotheses over all groups."""
    score_BX = torch.cat([state.done_score_BK for state in states], dim=1)
    best_BC = score_BX.topk(count).indices

    def taken(parts: list[Tensor]) -> Tensor:
        rows_BXT = torch.cat(parts, dim=1)
        return rows_BXT.gather(1, best_BC[..., None].expand(-1, -1, rows_BXT.shape[-1])).flatten(0, 1)

    origins = taken([state.done_origin_BKN for state in states])
    longest = int((origins >= 0).sum(dim=-1).max())
    return Hypotheses(
        ids=taken([state.done_ids_BKT for state in states])[:, : rules.prompt_length + longest],
        scores=score_BX.gather(1, best_BC).flatten(),
        origins=origins[:, :longest],
    )
