"""Drafting: guesses of the next tokens, cheap to make and checked by the model in one call.

T tokens so far, N drafted tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.run import Run
from hf_modeling.generation.text import Tokenizer

Schedule = Literal["constant", "heuristic", "heuristic_transient"]

SLACK = 64
"""Drafted tokens that a cache can take back, at most."""
DRAFTED = 20
"""Tokens that an assistant drafts when nobody says otherwise."""
CONFIDENCE = 0.4
"""Probability below which a drafted token is the last one, when nobody says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """Guessed tokens (N,), and the distributions (N, V) they were drawn from; None: they were not drawn."""

    tokens_N: Tensor
    probabilities_NV: Tensor | None = None


class Drafter(Protocol):
    """Makes drafts for one sequence."""

    def draft(self, ids_1T: Tensor, most: int) -> Draft:
        """At most `most` guesses of what follows these tokens; none is a valid draft."""
        ...

    def judge(self, drafted: int, accepted: int) -> None:
        """Learn how many of the drafted tokens were right."""
        ...


@final
class DraftLength:
    """How many tokens to draft: constant, or two more after a full success and one less after a failure."""

    def __init__(self, start: int, schedule: Schedule) -> None:
        self.now, self._schedule = start, schedule

    def judge(self, drafted: int, accepted: int) -> None:
        """Adapt to the latest draft."""
        if self._schedule != "constant" and drafted:
            self.now = self.now + 2 if accepted == drafted else max(1, self.now - 1)


@final
class ModelDrafter:
    """Drafts with a smaller model that has the same tokens, and remembers what it read.

    Args:
        model: the assistant.
        run: the run it assists; its processors and sampling apply to drafts, too.
        length: how many tokens to draft.
        confidence: a token less likely than this is the last of its draft.
        same_tokens: whether its tokens are the run's; others are drafted greedily and without processors.
    """

    def __init__(
        self,
        model: LanguageModel,
        run: Run,
        length: DraftLength,
        confidence: float,
        *,
        same_tokens: bool = True,
    ) -> None:
        self._model, self._run, self._length, self._confidence = model, run, length, confidence
        self._same_tokens = same_tokens
        # Everything drafted may be taken back, and the schedule may draft more as it goes.
        self._cache: Cache = model.new_cache(slack=SLACK)
        self._read: list[int] = []
        """The tokens that the cache holds, and those drafted after them."""

    def draft(self, ids_1T: Tensor, most: int) -> Draft:
        sampled = self._same_tokens and bool(self._run.plan.config.do_sample)
        ids, distributions = ids_1T, list[Tensor]()
        # A draft may have been wrong, and a translated text may begin otherwise than it did.
        self._cache.crop(min(_common(self._read, ids[0].tolist()), self._cache.length, ids.shape[1] - 1))
        mask = self._run.prompt.mask if self._same_tokens else None
        for _ in range(min(self._length.now, most, SLACK)):
            first = self._cache.length == 0
            output = self._model(
                ids[:, self._cache.length :],
                attention_mask=_widened(mask, ids.shape[1]) if first else None,
                past_key_values=self._cache,
                logits_to_keep=1,
            )
            scores_1V = output.logits[:, -1].float()
            if self._same_tokens:
                scores_1V = self._run.processed(scores_1V, ids)
            probabilities_1V = scores_1V.softmax(dim=-1)
            token_1 = torch.multinomial(probabilities_1V, 1)[:, 0] if sampled else scores_1V.argmax(dim=-1)
            ids = torch.cat([ids, token_1[:, None]], dim=1)
            distributions.append(probabilities_1V)
            unsure = float(probabilities_1V[0, token_1[0]]) < self._confidence
            if unsure or (self._same_tokens and int(token_1) in self._run.plan.eos):
                break
        self._read = ids[0].tolist()
        drafted = ids[0, ids_1T.shape[1] :]
        return Draft(
            tokens_N=drafted, probabilities_NV=torch.cat(distributions) if sampled and distributions else None
        )

    def judge(self, drafted: int, accepted: int) -> None:
        self._length.judge(drafted, accepted)


@final
class PromptLookupDrafter:
    """Drafts what followed the last few tokens the last time they occurred (prompt lookup decoding).

    Args:
        tokens: how many tokens to draft.
        longest: how many last tokens to look for, at most; fewer when they are not found.
    """

    def __init__(self, tokens: int, longest: int = 2) -> None:
        self._tokens, self._longest = tokens, longest

    def draft(self, ids_1T: Tensor, most: int) -> Draft:
        ids_T, length = ids_1T[0], ids_1T.shape[1]
        for size in range(min(self._longest, length - 1), 0, -1):
            windows_WN = ids_T[:-1].unfold(0, size, 1)
            found = (windows_WN == ids_T[-size:]).all(dim=1).nonzero()[:, 0]
            if len(found):
                # The first place is the likeliest to have a long text after it.
                start = int(found[0]) + size
                return Draft(tokens_N=ids_T[start : start + min(self._tokens, most)])
        return Draft(tokens_N=ids_T[:0])

    def judge(self, drafted: int, accepted: int) -> None:
        """Nothing to learn."""


@final
class TranslatingDrafter:
    """Drafts with a model that has other tokens: its text is read and written through both tokenizers.

    Args:
        inner: drafts in the assistant's tokens.
        own: the model's tokenizer.
        other: the assistant's tokenizer.
        own_lookbehind: tokens before the draft that are translated with it, so that words join as they should.
    """

    def __init__(self, inner: Drafter, own: Tokenizer, other: Tokenizer, own_lookbehind: int = 10) -> None:
        self._inner, self._own, self._other, self._lookbehind = inner, own, other, own_lookbehind

    def draft(self, ids_1T: Tensor, most: int) -> Draft:
        text = self._own.decode(ids_1T[0].tolist(), skip_special_tokens=True)
        other_ids = self._other.encode(text, add_special_tokens=False)
        if not other_ids:
            return Draft(tokens_N=ids_1T[0, :0])
        guess = self._inner.draft(torch.tensor([other_ids], device=ids_1T.device), most)
        # The end of the text is translated again together with the draft, and has to stay as it is.
        anchor = ids_1T[0, -self._lookbehind :].tolist()
        before = self._own.decode(anchor, skip_special_tokens=True)
        whole = self._other.decode([*other_ids, *guess.tokens_N.tolist()], skip_special_tokens=True)
        added = whole[len(self._other.decode(other_ids, skip_special_tokens=True)) :]
        again = self._own.encode(before + added, add_special_tokens=False)
        if again[: len(anchor)] != anchor:
            return Draft(tokens_N=ids_1T[0, :0])
        return Draft(tokens_N=ids_1T.new_tensor(again[len(anchor) :][:most]))

    def judge(self, drafted: int, accepted: int) -> None:
        self._inner.judge(drafted, accepted)


def _common(a: list[int], b: list[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _widened(mask: Tensor | None, tokens: int) -> Tensor | None:
    """The prompt's mask with ones for what follows it."""
    return None if mask is None else torch.nn.functional.pad(mask, (0, tokens - mask.shape[1]), value=1)
