"""The WKV recurrence of RWKV-4: a softmax over the past whose weights fade with time, as a running ratio.

o_t = (num + e^{u + k_t} v_t) / (den + e^{u + k_t}); then num <- e^{-w} num + e^{k_t} v_t, den alike.
Numerator and denominator are kept relative to a running maximum, so no exponent is positive (RWKV,
arXiv:2305.13048, appendix D).
Legend: B batch, T time, D channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class WkvState(NamedTuple):
    """Running numerator and denominator, both times exp(-maximum), and the maximum; each (B, D) float32."""

    numerator: Tensor
    denominator: Tensor
    maximum: Tensor


def wkv(
    decay_D: Tensor,
    first_D: Tensor,
    k_BTD: Tensor,
    v_BTD: Tensor,
    state: WkvState | None = None,
    real_BT: Tensor | None = None,
) -> tuple[Tensor, WkvState]:
    """Outputs (B, T, D) and the state after the last position, in float32; w is exp(decay).

    Positions that are not `real` leave the state as it is.
    """
    fade_D = -decay_D.float().exp()
    first_D = first_D.float()
    k_BTD, values = k_BTD.float(), v_BTD.float()
    if state is None:
        zeros = torch.zeros_like(k_BTD[:, 0])
        state = WkvState(zeros, zeros, torch.full_like(zeros, -1e38))
    numerator, denominator, maximum = state
    outputs: list[Tensor] = []
    for t in range(k_BTD.shape[1]):
        key, value = k_BTD[:, t], values[:, t]
        top = torch.maximum(maximum, key + first_D)
        old, new = (maximum - top).exp(), (key + first_D - top).exp()
        outputs.append((old * numerator + new * value) / (old * denominator + new))
        top = torch.maximum(maximum + fade_D, key)
        old, new = (maximum + fade_D - top).exp(), (key - top).exp()
        after = WkvState(old * numerator + new * value, old * denominator + new, top)
        if real_BT is not None:
            after = _where(real_BT[:, t, None], after, WkvState(numerator, denominator, maximum))
        numerator, denominator, maximum = after
    return torch.stack(outputs, dim=1), WkvState(numerator, denominator, maximum)


def _where(real_B1: Tensor, after: WkvState, before: WkvState) -> WkvState:
    return WkvState(*(torch.where(real_B1, new, old) for new, old in zip(after, before, strict=True)))
