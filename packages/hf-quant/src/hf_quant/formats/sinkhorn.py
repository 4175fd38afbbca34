"""Matrices whose rows and columns are brought to alike spread, by factors for each: SINQ's first step.

Source: arXiv 2509.22944, algorithm 1: alternating steps in the logarithm, of which the best one is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 16
_SPREADS = (1e-3, 1e3)
_STEP = (0.7, 2.0)
_FACTORS = (-0.3, 10.0)  # logarithms


def balanced(tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tiles (T, H, W) divided by their columns' and rows' factors; the factors (T, 1, W) and (T, H, 1).

    Balance is the ratio of the largest standard deviation of a row or column to the smallest.
    """
    rows, columns = tiles.std(2, keepdim=True), tiles.std(1, keepdim=True)
    target = torch.minimum(_least(rows.clamp(*_SPREADS)), _least(columns.clamp(*_SPREADS))) + 1e-6
    log_columns, log_rows = torch.zeros_like(columns), torch.zeros_like(rows)
    best_columns, best_rows = log_columns.exp(), log_rows.exp()
    best = torch.full_like(target, torch.inf)
    running = torch.ones_like(target)
    for _ in range(_STEPS):
        column_factors, row_factors = log_columns.exp(), log_rows.exp()
        now = tiles / column_factors / row_factors
        rows, columns = now.std(2, keepdim=True), now.std(1, keepdim=True)
        ratio = torch.maximum(_most(rows), _most(columns)) / torch.minimum(
            _least(rows), _least(columns)
        ).clamp(min=1e-12)
        better = ratio <= best
        best = torch.minimum(best, ratio)
        best_columns = torch.where(better, column_factors, best_columns)
        best_rows = torch.where(better, row_factors, best_rows)
        running = torch.where(ratio > best, 0.0, running)  # a tile that got worse stays as it is
        log_columns = _moved(log_columns, columns, target, running)
        log_rows = _moved(log_rows, rows, target, running)
    return tiles / best_columns / best_rows, best_columns, best_rows


def kurtosis(x: Tensor) -> float:
    """The fourth central moment over the squared variance: 3 for a normal distribution."""
    centred = x.flatten() - x.mean()
    variance = centred.square().mean().clamp(min=1e-6)
    return float(centred.pow(4).mean() / variance.square())


def _moved(log_factors: Tensor, spread: Tensor, target: Tensor, running: Tensor) -> Tensor:
    step = (spread.clamp(*_SPREADS) / target).clamp(*_STEP).log()
    return (log_factors + step * running).clamp(*_FACTORS)


def _least(x: Tensor) -> Tensor:
    return x.amin((1, 2), keepdim=True)


def _most(x: Tensor) -> Tensor:
    return x.amax((1, 2), keepdim=True)
