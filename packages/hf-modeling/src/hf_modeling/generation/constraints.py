"""Beam search that has to say certain words: a share of the beams is kept for each degree of progress.

Post and Vilar, arXiv 1804.06609. Hypotheses are sorted into banks by how many constraint tokens they hold. Places
go round the banks, so that one that lags in likelihood but leads in constraints survives until it is complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_modeling.generation.beams import (
    WORST,
    BeamRules,
    BeamState,
    Candidates,
    answer,
    append,
    finished,
    rows_of,
    settle,
    start,
)
from hf_modeling.generation.errors import ContradictionError, OptionError
from hf_modeling.generation.output import GenerateOutput
from hf_modeling.generation.run import Run
from hf_modeling.generation.search import finish, rules_of

# Axes: B prompts, K beams, C candidates, T tokens, V vocabulary.

Words = tuple[tuple[int, ...], ...]
"""Alternatives of which one has to occur; a single word is a choice of one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a text has come with its constraints."""

    tokens: int
    """Constraint tokens that it holds: those of words that occur, and of one that its end begins."""
    complete: bool
    advancing: frozenset[int]
    """Tokens that would get it further."""


def as_words(force_words_ids: Iterable[object]) -> tuple[Words, ...]:
    """Constraints as alternatives of token sequences.

    Raises:
        OptionError: not lists of ids, or lists of such lists.
    """
    expected = "a list whose elements are token ids of a word, or alternatives, each token ids of a word"
    found: list[Words] = []
    for element in force_words_ids:
        if not isinstance(element, Sequence) or not element:
            raise OptionError("force_words_ids", element, expected)
        alternatives = [element] if isinstance(element[0], int) else element
        words: list[tuple[int, ...]] = []
        for word in alternatives:
            if (
                not isinstance(word, Sequence)
                or not word
                or not all(isinstance(t, int) and t >= 0 for t in word)
            ):
                raise OptionError("force_words_ids", element, expected)
            words.append(tuple(word))
        found.append(tuple(words))
    return tuple(found)


def progress(text: Sequence[int], constraints: Sequence[Words]) -> Progress:
    """How far this text, without its prompt, has come."""
    held, begun, advancing = 0, 0, set[int]()
    complete = True
    for words in constraints:
        said = max((len(word) for word in words if _occurs(word, text)), default=0)
        if said:
            held += said
            continue
        complete = False
        for word in words:
            overlap = _overlap(word, text)
            begun = max(begun, overlap)
            advancing.update((word[overlap], word[0]))
    return Progress(held + begun, complete, frozenset(advancing))


def constrained_beam_search(run: Run) -> GenerateOutput:
    """The best texts that hold every word of `force_words_ids`; words of the prompt do not count.

    Raises:
        ContradictionError: the words do not fit into the length.
    """
    plan, beams = run.plan, run.plan.num_beams
    rules, constraints = rules_of(run, beams), as_words(plan.config.force_words_ids or ())
    shortest = sum(min(len(word) for word in words) for words in constraints)
    if shortest > run.room:
        raise ContradictionError(
            ("force_words_ids", f"{run.room} new tokens"),
            f"the words have {shortest} tokens",
            "allow more tokens",
        )
    state = start(run.prompt.ids[::beams], rules, plan.filler)
    output = run.prefill()
    while True:
        log_p = run.scores(output, state.flat_ids, log=True)
        found, ended_BC = _extend(run, state, log_p, rules, constraints)
        state = settle(state, found, ended_BC, rules)
        if finished(state, ended_BC, rules):
            return finish(run, answer(state, rules, plan.num_return_sequences), rules)
        if run.cache is not None:
            run.cache.reorder(rows_of(state, rules))
        output = run.step(state.flat_ids)


@dataclass(frozen=True, slots=True)
class _Choice:
    """One continuation of one beam."""

    beam: int
    token: int
    score: float
    progress: Progress
    ended: bool


def _extend(
    run: Run, state: BeamState, log_p: Tensor, rules: BeamRules, constraints: Sequence[Words]
) -> tuple[Candidates, Tensor]:
    """For each prompt the ended continuations, best first, then exactly K to run on with."""
    batch, beams = state.score_BK.shape
    total_BKV = log_p.view(batch, beams, -1) + state.score_BK[..., None]
    rows = [_choices(run, state, total_BKV[b], b, rules, constraints) for b in range(batch)]
    width = max(len(row) for row in rows)
    # Prompts with fewer candidates are filled with impossible ones.
    for row in rows:
        row.extend([_Choice(0, 0, 2 * WORST, row[0].progress, False)] * (width - len(row)))

    def column(values: list[list[float]], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=log_p.device)

    found = append(
        state,
        column([[c.beam for c in row] for row in rows], torch.long),
        column([[c.token for c in row] for row in rows], torch.long),
        column([[c.score for c in row] for row in rows], torch.float32),
    )
    return found, column([[c.ended for c in row] for row in rows], torch.bool)


def _choices(
    run: Run, state: BeamState, total_KV: Tensor, prompt: int, rules: BeamRules, constraints: Sequence[Words]
) -> list[_Choice]:
    beams, vocabulary = total_KV.shape
    texts = state.ids_BKT[prompt, :, rules.prompt_length : state.length].tolist()
    before = [progress(text, constraints) for text in texts]
    likely = total_KV.flatten().topk(min(rules.candidates, total_KV.numel())).indices.tolist()
    asked = {(flat // vocabulary, flat % vocabulary) for flat in likely}
    asked |= {(beam, token) for beam in range(beams) for token in before[beam].advancing}
    asked |= set(enumerate(total_KV.argmax(dim=1).tolist()))
    full = state.length + 1 >= rules.max_length
    running: list[_Choice] = []
    ended: list[_Choice] = []
    for beam, token in asked:
        score = float(total_KV[beam, token])
        now = progress([*texts[beam], token], constraints)
        if token in run.plan.eos and not now.complete:
            continue  # a text may not end before it has said everything
        if full or token in run.plan.eos:
            # At the last token an incomplete text is better than none, and worse than any complete one.
            ended.append(_Choice(beam, token, score + (0.0 if now.complete else WORST / 1e3), now, True))
        else:
            running.append(_Choice(beam, token, score, now, False))
    ended.sort(key=lambda c: -c.score)
    return [*ended[:beams], *_round_the_banks(running, beams)]


def _round_the_banks(choices: Sequence[_Choice], count: int) -> list[_Choice]:
    """The best of each bank in turn, from the one with the most progress, until `count` are chosen."""
    banks: dict[int, list[_Choice]] = defaultdict(list)
    for choice in sorted(choices, key=lambda c: -c.score):
        banks[choice.progress.tokens].append(choice)
    chosen: list[_Choice] = []
    place = 0
    while len(chosen) < min(count, len(choices)):
        for tokens in sorted(banks, reverse=True):
            if place < len(banks[tokens]) and len(chosen) < count:
                chosen.append(banks[tokens][place])
        place += 1
    return chosen


def _occurs(word: Sequence[int], text: Sequence[int]) -> bool:
    size = len(word)
    return any(tuple(text[i : i + size]) == word for i in range(len(text) - size + 1))


def _overlap(word: Sequence[int], text: Sequence[int]) -> int:
    """How many first tokens of the word the text ends with; never all of them."""
    return next(
        size
        for size in range(min(len(word) - 1, len(text)), -1, -1)
        if size == 0 or tuple(text[-size:]) == tuple(word[:size])
    )
