"""DoLa: the last layer's distribution against that of an earlier layer, chosen where they differ most.

Chuang et al., arXiv 2309.03883. What later layers add is taken for knowledge, what earlier ones said already for
habit. Each sequence chooses its own layer, so that a batch gives what single prompts give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.run import Run

# Axes: L candidate layers, B sequences, V vocabulary, D width.

PLAUSIBLE = 0.1
"""Only tokens this likely, relative to the likeliest, are compared."""
IMPLAUSIBLE_BASE = -1e-3
DEEP = 40
"""Above so many layers only the first or last 20 are candidates."""


def dola(run: Run) -> Iterator[list[int]]:
    """Choose tokens by contrast between layers; gives the tokens of each step."""
    run.needs_hidden = True
    output = run.prefill()
    layers = candidate_layers(
        run.plan.config.dola_layers, len(output.hidden_states or ()) - 1, tied=_tied(run)
    )
    while True:
        hidden = output.hidden_states
        assert hidden is not None, "hidden states were asked for"
        earlier_LBV = torch.stack([run.model.logits(hidden[layer][:, -1]).float() for layer in layers])
        contrast = contrasted(output.logits[:, -1].float(), earlier_LBV)
        output = replace(output, logits=contrast[:, None])
        yield run.append(run.sampler(run.scores(output), run.generated))
        if run.over:
            return
        output = run.step(run.ids)


def candidate_layers(asked: str | Sequence[int] | None, layers: int, *, tied: bool) -> list[int]:
    """Numbers of hidden states (0: embeddings) to contrast the last layer with.

    Args:
        asked: "low" or "high" for every other layer of that half, or layer numbers.
        layers: how many layers there are.
        tied: whether the head is the embedding table, which then says too little about the first layers.

    Raises:
        OptionError: no such layer.
    """
    start = 2 if tied else 0
    middle = layers // 2
    match asked:
        case "low":
            found = list(range(start, middle if layers <= DEEP else 20, 2)) or [start]
        case "high":
            found = list(range(middle if layers <= DEEP else layers - 20, layers, 2))
        case str() | None:
            raise OptionError("dola_layers", asked, "'low', 'high' or a list of layer numbers")
        case numbers:
            found = [number for number in numbers if 0 <= number < layers]
    if not found or max(found) >= layers:
        raise OptionError("dola_layers", asked, f"layers from 0 to {layers - 1}")
    return found


def contrasted(last_BV: Tensor, earlier_LBV: Tensor) -> Tensor:
    """Log-probability of the last layer minus that of the most different earlier one, for plausible tokens."""
    most_different_B = _divergence(last_BV, earlier_LBV).argmax(dim=0)
    rows_B = torch.arange(last_BV.shape[0], device=last_BV.device)
    base_BV = earlier_LBV[most_different_B, rows_B].log_softmax(dim=-1)
    final_BV = last_BV.log_softmax(dim=-1)
    implausible = final_BV < final_BV.amax(dim=-1, keepdim=True) + math.log(PLAUSIBLE)
    return final_BV.masked_fill(implausible, float("-inf")) - base_BV.masked_fill(
        implausible, IMPLAUSIBLE_BASE
    )


def _divergence(last_BV: Tensor, earlier_LBV: Tensor) -> Tensor:
    """Jensen-Shannon divergence (L, B) between each earlier distribution and the last one."""
    p_LBV, q_LBV = last_BV.softmax(dim=-1).expand_as(earlier_LBV), earlier_LBV.softmax(dim=-1)
    apart: Tensor = (torch.special.entr(p_LBV) + torch.special.entr(q_LBV)).sum(-1) / 2
    together: Tensor = torch.special.entr((p_LBV + q_LBV) / 2).sum(-1)
    return together.sub(apart)


def _tied(run: Run) -> bool:
    return bool(run.model.config.tie_word_embeddings)
