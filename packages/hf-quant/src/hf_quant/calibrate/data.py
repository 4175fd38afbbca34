"""Calibration data: rows of token ids, and the perplexity of a model on such rows."""

from __future__ import annotations

from math import exp

import torch
from torch import Tensor

from hf_modeling.heads.causal_lm import CausalLM
from hf_quant.calibrate.walk import evaluating
from hf_quant.errors import CalibrationDataError


def rows_of(ids: Tensor, *, samples: int, length: int) -> Tensor:
    """`samples` rows of `length` ids (S, T), spread evenly over a text's ids (n,) and not overlapping.

    Raises CalibrationDataError if the text has fewer ids.
    """
    if samples < 1 or length < 2:
        raise CalibrationDataError(
            f"{samples} rows of {length} tokens say nothing about a model",
            fix="ask for 1 row of 2 tokens or more",
        )
    needed = samples * length
    if ids.ndim != 1 or len(ids) < needed:
        raise CalibrationDataError(
            f"calibration data have {ids.numel()} tokens; {samples} rows of {length} take {needed}",
            fix="give a longer text, or ask for fewer samples or shorter ones",
        )
    slack = len(ids) - needed
    starts = [i * length + (slack * i) // max(samples - 1, 1) for i in range(samples)]
    return torch.stack([ids[start : start + length] for start in starts])


def perplexity(model: CausalLM, ids_ST: Tensor, *, batch_size: int = 4) -> float:
    """exp of the mean negative log-likelihood of each token but the first of its row; infinity on overflow.

    Every row (S, T) is read on its own, without a cache.
    """
    total, count = 0.0, 0
    with evaluating(model), torch.no_grad():
        for ids in ids_ST.split(batch_size):
            ids = ids.to(model.device)
            logits = model(ids, use_cache=False).logits[:, :-1].flatten(0, 1).float()
            total += float(torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="sum"))
            count += ids[:, 1:].numel()
    try:
        return exp(total / count)
    except OverflowError:
        return float("inf")
