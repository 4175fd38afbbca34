"""Sequences generated one by one: no number of one depends on the others, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hf_modeling.generation.conditioned import Conditioned
from hf_modeling.generation.errors import ContradictionError, PromptError
from hf_modeling.generation.options import GenerateInputs
from hf_modeling.generation.output import GenerateOutput

# Axes: B sequences, T tokens, V vocabulary.

One = Callable[[int, Tensor, GenerateInputs], GenerateOutput]
"""Generates from a prompt of one row without padding."""


def one_by_one(
    generate_one: One, inputs: Tensor | None, given: GenerateInputs, filler: int
) -> GenerateOutput:
    """What a batch would give, from one call for each prompt, so that kernels see each of them alone.

    Scores and logits of sequences that ended are filled with zeros. Attentions, hidden states and the cache
    differ in shape from sequence to sequence and are left out.

    Raises:
        PromptError: there are no ids.
        ContradictionError: something that belongs to the whole batch.
    """
    if inputs is None:
        raise PromptError("deterministic=True needs input_ids", fix="pass the prompts as ids")
    for name in ("past_key_values", "streamer", "negative_prompt_ids"):
        if given.get(name) is not None:
            raise ContradictionError(
                ("deterministic=True", name),
                f"{name} belongs to a batch",
                fix="generate each prompt by itself",
            )
    mask = given.get("attention_mask")
    rows = (
        list(inputs) if mask is None else [row[real.bool()] for row, real in zip(inputs, mask, strict=True)]
    )
    answers = [generate_one(i, row[None], _own(given, i, rows)) for i, row in enumerate(rows)]
    texts: list[Tensor] = []
    for prompt, row, answer in zip(inputs, rows, answers, strict=True):
        texts.extend(torch.cat([prompt, sequence[len(row) :]]) for sequence in answer.sequences)
    first = answers[0]
    return GenerateOutput(
        sequences=torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=filler),
        finish_reasons=tuple(reason for answer in answers for reason in answer.finish_reasons),
        scores=None if first.scores is None else _stacked([answer.scores or () for answer in answers]),
        logits=None if first.logits is None else _stacked([answer.logits or () for answer in answers]),
    )


def _own(given: GenerateInputs, row: int, rows: Sequence[Tensor]) -> GenerateInputs:
    """The inputs of one prompt."""
    own = GenerateInputs(**given)
    own["attention_mask"] = torch.ones_like(rows[row])[None]  # a start token may be the padding token
    assistant, source = given.get("assistant_model"), given.get("encoder_input_ids")
    if isinstance(assistant, Conditioned):
        own["assistant_model"] = assistant.row(row)
    if source is not None:
        own["encoder_input_ids"] = source[row : row + 1]
    seed = given.get("seed")
    if isinstance(seed, int):
        own["seed"] = seed + row
    elif seed is not None:
        each = len(seed) // len(rows)
        own["seed"] = seed[row * each : (row + 1) * each]
    return own


def _stacked(steps: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Steps of single sequences as steps of a batch."""
    longest = max(len(one) for one in steps)
    return tuple(
        torch.cat([one[i] if i < len(one) else torch.zeros_like(one[0]) for one in steps])
        for i in range(longest)
    )
