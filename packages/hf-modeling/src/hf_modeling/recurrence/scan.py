"""The elementwise linear recurrence h_t = a_t h_{t-1} + b_t, for decays that differ by channel.

A chunk is scanned by doubling (Hillis and Steele, 1986): log2(C) vectorised passes in place of C
dependent ones; it only multiplies decays, so with |a| <= 1 nothing can overflow.
Legend: B batch, T time, ... any trailing state axes.
"""

import torch
from torch import Tensor

CHUNK = 64


def elementwise_scan(
    a_BT: Tensor, b_BT: Tensor, state_B: Tensor | None = None, *, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """All states (B, T, ...) and the last one (B, ...); `a` broadcasts to `b`, `state` is h before."""
    state = torch.zeros_like(b_BT[:, 0]) if state_B is None else state_B
    if b_BT.shape[1] == 1:
        state = torch.addcmul(b_BT[:, 0], a_BT[:, 0], state)
        return state.unsqueeze(1), state
    states: list[Tensor] = []
    for start in range(0, b_BT.shape[1], chunk):
        a, b = a_BT[:, start : start + chunk], b_BT[:, start : start + chunk]
        product, total = _scan_by_doubling(a.expand_as(b), b)
        within = total + product * state.unsqueeze(1)
        states.append(within)
        state = within[:, -1]
    return torch.cat(states, dim=1), state


def selective_scan(
    x_BTD: Tensor,
    step_BTD: Tensor,
    rate_DS: Tensor,
    in_BTS: Tensor,
    out_BTS: Tensor,
    state_BDS: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Mamba's recurrence h <- exp(step * rate) h + step * in * x, read by `out`: (B, T, D) and the last h.

    D channels with S states each; `rate` is negative. The states of one chunk at a time are held
    (arXiv:2312.00752, section 3.2).
    """
    state = state_BDS if state_BDS is not None else x_BTD.new_zeros(x_BTD.shape[0], *rate_DS.shape)
    outputs: list[Tensor] = []
    for start in range(0, x_BTD.shape[1], chunk):
        part = slice(start, start + chunk)
        steps_BC1 = step_BTD[:, part].unsqueeze(-1)
        added = (step_BTD[:, part] * x_BTD[:, part]).unsqueeze(-1) * in_BTS[:, part].unsqueeze(-2)
        states, state = elementwise_scan((steps_BC1 * rate_DS).exp(), added, state, chunk=chunk)
        outputs.append((states @ out_BTS[:, part].unsqueeze(-1)).squeeze(-1))
    return torch.cat(outputs, dim=1), state


def _scan_by_doubling(a_BC: Tensor, b_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Running products of a, and the states that start from zero."""
    reach = 1
    while reach < b_BC.shape[1]:
        b_BC = torch.cat([b_BC[:, :reach], b_BC[:, reach:] + a_BC[:, reach:] * b_BC[:, :-reach]], dim=1)
        a_BC = torch.cat([a_BC[:, :reach], a_BC[:, reach:] * a_BC[:, :-reach]], dim=1)
        reach *= 2
    return a_BC, b_BC
