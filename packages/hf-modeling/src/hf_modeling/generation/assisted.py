"""Assisted decoding: drafts are checked by the model in one call, and the answer is as if there were none.

Greedy decoding gives the same tokens; sampling draws from the same distribution (Leviathan et al., arXiv
2211.17192, and Chen et al., arXiv 2302.01318).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from hf_modeling.cache import Replace
from hf_modeling.generation.drafting import Draft, Drafter
from hf_modeling.generation.errors import ContradictionError
from hf_modeling.generation.run import Run
from hf_modeling.outputs import CausalLMOutputWithPast

# Axes: T tokens so far, N drafted tokens, V vocabulary.


def assisted(run: Run, drafter: Drafter) -> Iterator[list[int]]:
    """Choose tokens of one sequence with a drafter's help; gives one token at a time.

    Raises:
        ContradictionError: without a cache, or with layers that cannot go back.
    """
    cache = run.cache
    if cache is None:
        raise ContradictionError(
            ("an assistant", "use_cache=False"), "drafts go on from a cache", "use a cache"
        )
    if any(isinstance(state, Replace) for states in cache.layout for state in states.values()):
        raise ContradictionError(
            ("an assistant", "a recurrent model"),
            "wrong drafts have to be taken back, and recurrent layers keep their last state only",
            fix="generate without an assistant",
        )
    output = run.prefill()
    _keep_layers(run, output)
    logits_NV, draft = output.logits[0, -1:], Draft(tokens_N=run.ids[0, :0])
    while True:
        start = run.length
        scores = [run.processed(logits_NV[:1].float())]
        for i in range(1, len(logits_NV)):
            if run.processors and bool(scores[-1][0, draft.tokens_N[i - 1]].isneginf()):
                break  # this token is forbidden, so nothing after it counts, and processors must not see it
            seen = torch.cat([run.ids[:, :start], draft.tokens_N[None, :i]], dim=1)
            scores.append(run.processed(logits_NV[i : i + 1].float(), seen))
        tokens, accepted = _checked(run, draft.tokens_N[: len(scores)], draft, torch.cat(scores))
        drafter.judge(len(draft.tokens_N), accepted)
        for i, token in enumerate(tokens):
            if run.record is not None:
                run.record.add_scores(logits_NV[i : i + 1].float(), scores[i])
            yield run.append(run.ids.new_tensor([token]))
            if run.over:
                return
        cache.crop(run.prompt.length + run.generated - 1)
        draft = drafter.draft(run.ids, run.room - 1)
        output = run.call(
            torch.cat([run.ids[:, -1:], draft.tokens_N[None]], dim=1), keep=len(draft.tokens_N) + 1
        )
        _keep_layers(run, output)
        logits_NV = output.logits[0]


def _keep_layers(run: Run, output: CausalLMOutputWithPast) -> None:
    if run.record is not None:
        run.record.add_layers(output)


def _checked(run: Run, tokens_N: Tensor, draft: Draft, scores_NV: Tensor) -> tuple[list[int], int]:
    """The tokens that stand, and how many of them were drafted; the last one is the model's own.

    `tokens_N` are those of the draft that scores were worked out for; the last of them may be forbidden.
    """
    if not run.plan.config.do_sample:
        chosen = scores_NV.argmax(dim=-1).tolist()
        accepted = _agreeing(tokens_N.tolist(), chosen)
        return chosen[: accepted + 1], accepted
    return _sampled(replace(draft, tokens_N=tokens_N), scores_NV.softmax(dim=-1))


def _agreeing(drafted: list[int], chosen: list[int]) -> int:
    """How many drafted tokens are what the model would have chosen."""
    for i, token in enumerate(drafted):
        if token != chosen[i]:
            return i
    return len(drafted)


def _sampled(draft: Draft, p_NV: Tensor) -> tuple[list[int], int]:
    """Each drafted token is kept with probability p/q; the first that is not is drawn from what q left over."""
    tokens: list[int] = []
    for i, token in enumerate(draft.tokens_N.tolist()):
        p_V = p_NV[i]
        # A draft that was not drawn stands for a distribution with all its weight on the token.
        q_V = (
            torch.zeros_like(p_V).index_fill(0, draft.tokens_N[i], 1.0)
            if draft.probabilities_NV is None
            else draft.probabilities_NV[i]
        )
        if float(torch.rand(())) * float(q_V[token]) >= float(p_V[token]):
            rest_V = (p_V - q_V).clamp(min=0)
            return [*tokens, _draw(rest_V if float(rest_V.sum()) > 0 else p_V)], i
        tokens.append(token)
    return [*tokens, _draw(p_NV[len(tokens)])], len(tokens)


def _draw(weights_V: Tensor) -> int:
    return int(torch.multinomial(weights_V, 1))
