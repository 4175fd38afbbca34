"""`generate_many` of encoder-decoders: texts of like length are answered together.

An encoder reads a whole text at once and all its tokens see each other, so nothing of it can be shared or read in
parts; what can be had is batches with little padding, and answers in the order of the texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Unpack

import torch

from hf_config import GenerationConfig
from hf_config.errors import ConfigError
from hf_modeling.generation.conditional import generate
from hf_modeling.generation.conditioned import EncoderDecoder
from hf_modeling.generation.errors import GenerationError
from hf_modeling.generation.options import GenerateOptions, merge_options
from hf_modeling.generation.plan import token_ids
from hf_modeling.generation.serving.request import Completion, Request
from hf_modeling.generation.stopping import FinishReason
from hf_modeling.generation.text import Detokenizer

AHEAD: Final = 256
"""Texts that are taken from an iterator to find some of like length."""


def generate_many(
    model: EncoderDecoder,
    requests: Iterable[Request | Sequence[int]],
    *,
    tokenizer: Detokenizer | None = None,
    batch_size: int = 16,
    **options: Unpack[GenerateOptions],
) -> list[Completion]:
    """An answer to every text, in their order.

    Args:
        model: an encoder-decoder with a vocabulary head.
        requests: texts as ids, or `Request`s with options of their own; they may come from a generator.
        tokenizer: fills in `Completion.text`; stop strings need it.
        batch_size: texts that are answered together, at most.
        options: for requests without their own.

    A request that cannot be served gives a completion with its error; the others do not notice.
    """
    return list(complete_many(model, requests, tokenizer=tokenizer, batch_size=batch_size, **options))


def complete_many(
    model: EncoderDecoder,
    requests: Iterable[Request | Sequence[int]],
    *,
    tokenizer: Detokenizer | None = None,
    batch_size: int = 16,
    **options: Unpack[GenerateOptions],
) -> Iterator[Completion]:
    """Answers as they are ready, in the order of the texts; a long iterator is never held whole."""
    coming = iter(requests)
    while taken := list(islice(coming, AHEAD)):
        asked = [one if isinstance(one, Request) else Request(prompt=one, options=options) for one in taken]
        answers: dict[int, Completion] = {}
        for rows in _batches(asked, batch_size):
            answers.update(zip(rows, _answered(model, [asked[i] for i in rows], tokenizer), strict=True))
        yield from (answers[i] for i in range(len(asked)))


def _batches(asked: Sequence[Request], size: int) -> Iterator[list[int]]:
    """Numbers of requests that can be answered together: of like options, sorted by length."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for number, request in enumerate(asked):
        own = request.logits_processor or request.stopping_criteria
        alike[number if own else _kind(request)].append(number)
    for numbers in alike.values():
        numbers.sort(key=lambda i: len(asked[i].prompt))
        for start in range(0, len(numbers), size):
            yield numbers[start : start + size]


def _kind(request: Request) -> Hashable:
    seeded = request.seed is not None
    return seeded, request.frequency_penalty, request.presence_penalty, repr(sorted(request.options.items()))


def _answered(
    model: EncoderDecoder, requests: Sequence[Request], tokenizer: Detokenizer | None
) -> list[Completion]:
    """Answers to requests of one kind; what one of them gets wrong is that one's affair."""
    try:
        return _together(model, requests, tokenizer)
    except (GenerationError, ConfigError) as error:
        if len(requests) > 1:
            return [answer for one in requests for answer in _answered(model, [one], tokenizer)]
        return [Completion(tokens=(), text="", finish_reason=FinishReason.ERROR, error=error)]


def _together(
    model: EncoderDecoder, requests: Sequence[Request], tokenizer: Detokenizer | None
) -> list[Completion]:
    first = requests[0]
    longest = max(len(request.prompt) for request in requests)
    ids = torch.zeros(len(requests), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, request in enumerate(requests):
        size = len(request.prompt)
        ids[row, :size] = torch.tensor(request.prompt, dtype=torch.long)
        mask[row, :size] = 1
    seeds = None if first.seed is None else [request.seed or 0 for request in requests]
    output = generate(
        model,
        ids.to(model.device),
        return_dict_in_generate=True,
        attention_mask=mask.to(model.device),
        frequency_penalty=first.frequency_penalty,
        presence_penalty=first.presence_penalty,
        logits_processor=first.logits_processor,
        stopping_criteria=first.stopping_criteria,
        seed=seeds,
        **first.options,
    )
    config = merge_options(model.generation_config or GenerationConfig(), None, first.options)
    answers = [
        _trimmed(sequence, reason, config)
        for sequence, reason in zip(output.sequences.tolist(), output.finish_reasons, strict=True)
    ]
    each = len(answers) // len(requests)
    return [
        Completion(
            tokens=answers[row],
            text="" if tokenizer is None else tokenizer.decode(list(answers[row]), skip_special_tokens=True),
            finish_reason=output.finish_reasons[row],
        )
        for row in range(0, len(answers), each)
    ]


def _trimmed(sequence: list[int], reason: FinishReason, config: GenerationConfig) -> tuple[int, ...]:
    """An answer without its start token, and without what fills it up to the longest of its batch."""
    tokens, ends = sequence[1:], token_ids(config.eos_token_id)
    if reason is FinishReason.LENGTH:
        return tuple(tokens)
    if reason is FinishReason.STOP and not config.stop_strings:
        end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens) - 1)
        return tuple(tokens[: end + 1])
    filler = (*token_ids(config.pad_token_id), *ends, 0)[0]
    while tokens and tokens[-1] == filler:
        tokens.pop()
    return tuple(tokens)
