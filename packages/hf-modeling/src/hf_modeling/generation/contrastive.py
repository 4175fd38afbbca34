"""Contrastive search: likely tokens whose meaning is not yet in the text.

Su et al., arXiv 2202.06417. Each of the k likeliest tokens is run; the one wins that is likely and whose hidden
state is far from all those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from hf_modeling.generation.errors import ContradictionError
from hf_modeling.generation.run import Run
from hf_modeling.outputs import CausalLMOutputWithPast

# Axes: B sequences, K candidates, T tokens so far, D width, V vocabulary.


def contrastive_search(run: Run) -> Iterator[list[int]]:
    """Choose tokens that are likely and new; gives the tokens of each step.

    Raises:
        ContradictionError: without a cache, which this needs.
    """
    config, cache = run.plan.config, run.cache
    if cache is None:
        raise ContradictionError(
            ("penalty_alpha", "use_cache=False"), "candidates go on from a cache", "use a cache"
        )
    run.needs_hidden = True
    alpha, k = config.penalty_alpha or 0.0, config.top_k or 1
    output = run.prefill()
    known_BTD = _last_hidden(output)
    hidden_mask = None if run.prompt.mask is None else run.prompt.mask.bool()
    while True:
        likely_BK = run.scores(output).softmax(dim=-1).topk(k)
        cache.batch_repeat_interleave(k)
        output = run.call(likely_BK.indices.reshape(-1, 1))
        new_BKD = _last_hidden(output).view(-1, k, known_BTD.shape[-1])
        best_B = _ranked(known_BTD, new_BKD, hidden_mask, likely_BK.values, alpha).argmax(dim=-1)
        yield run.append(likely_BK.indices.gather(1, best_B[:, None])[:, 0])
        if run.over:
            return
        rows_B = torch.arange(run.prompt.batch, device=best_B.device) * k + best_B
        cache.reorder(rows_B)
        output = _rows(output, rows_B)
        known_BTD = torch.cat([known_BTD, _last_hidden(output)], dim=1)
        if hidden_mask is not None:
            hidden_mask = torch.nn.functional.pad(hidden_mask, (0, 1), value=True)


def _ranked(
    known_BTD: Tensor, new_BKD: Tensor, mask_BT: Tensor | None, probability_BK: Tensor, alpha: float
) -> Tensor:
    """The value of each candidate: probability, minus likeness to the most alike token so far."""
    known = torch.nn.functional.normalize(known_BTD.float(), dim=-1)
    new = torch.nn.functional.normalize(new_BKD.float(), dim=-1)
    likeness_BKT = new @ known.transpose(1, 2)
    if mask_BT is not None:
        likeness_BKT = likeness_BKT.masked_fill(~mask_BT[:, None], -1.0)
    return (1 - alpha) * probability_BK - alpha * likeness_BKT.amax(dim=-1)


def _last_hidden(output: CausalLMOutputWithPast) -> Tensor:
    assert output.hidden_states is not None, "hidden states were asked for"
    return output.hidden_states[-1]


def _rows(output: CausalLMOutputWithPast, rows_B: Tensor) -> CausalLMOutputWithPast:
    """The outputs of the chosen candidates."""

    def chosen(layers: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        return None if layers is None else tuple(layer.index_select(0, rows_B) for layer in layers)

    return replace(
        output,
        logits=output.logits.index_select(0, rows_B),
        hidden_states=chosen(output.hidden_states),
        attentions=chosen(output.attentions),
    )
