"""The mLSTM of xLSTM (arXiv:2405.04517): a matrix memory with exponential gates.

C_t = f_t C_{t-1} + i_t k_t v_t^T, n_t = f_t n_{t-1} + i_t k_t with f = sigmoid(f~), i = exp(i~), and
h_t = C_t^T q_t / (max(|n_t . q_t|, 1) + eps), where q is scaled by K^-1/2. The memory is stored times
exp(-m), m a running maximum: m_t = max(log f_t + m_{t-1}, i~_t), so no exponent is ever
positive; the 1 of the denominator becomes exp(-m).
Legend: B batch, H heads, T time, N chunks, C positions of a chunk, K key width, V value width.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.recurrence.chunks import from_chunks, into_chunks

CHUNK = 64


class MlstmState(NamedTuple):
    """Memory C (B, H, K, V) and normaliser n (B, H, K), both times exp(-m), and the maximum m (B, H)."""

    memory: Tensor
    normaliser: Tensor
    maximum: Tensor


def mlstm(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    input_gate_BHT: Tensor,
    forget_gate_BHT: Tensor,
    state: MlstmState | None = None,
    *,
    eps: float = 1e-6,
    chunk: int = CHUNK,
) -> tuple[Tensor, MlstmState]:
    """Hidden values (B, H, T, V) and the state after the last position; gates come before activation."""
    length = q_BHTK.shape[2]
    chunk = min(chunk, length)
    missing = -length % chunk
    # The normaliser is one more value column that is always 1: numerator and denominator share every product.
    valued = torch.cat([v_BHTV, torch.ones_like(v_BHTV[..., :1])], dim=-1)
    q = into_chunks(q_BHTK * q_BHTK.shape[-1] ** -0.5, chunk)
    k, v = into_chunks(k_BHTK, chunk), into_chunks(valued, chunk)
    kept_BHNC = into_chunks(F.logsigmoid(forget_gate_BHT), chunk).cumsum(-1)
    gate_BHNC = into_chunks(F.pad(input_gate_BHT, (0, missing), value=float("-inf")), chunk)
    later_CC = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).triu(1)
    memory, maximum = _joined(state, k_BHTK, v_BHTV)
    outputs: list[Tensor] = []
    for n in range(q.shape[2]):
        kept, gate = kept_BHNC[:, :, n], gate_BHNC[:, :, n]
        weights = (kept.unsqueeze(-1) - kept.unsqueeze(-2) + gate.unsqueeze(-2)).masked_fill(
            later_CC, float("-inf")
        )
        from_start = kept + maximum.unsqueeze(-1)
        top = torch.maximum(weights.amax(-1), from_start)
        inside = (q[:, :, n] @ k[:, :, n].transpose(-1, -2)) * (weights - top.unsqueeze(-1)).exp()
        before = (q[:, :, n] * (from_start - top).exp().unsqueeze(-1)) @ memory
        outputs.append(_normalised(inside @ v[:, :, n] + before, top, eps))
        to_end = kept[..., -1:] - kept + gate
        next_maximum = torch.maximum(kept[..., -1] + maximum, to_end.amax(-1))
        added = k[:, :, n] * (to_end - next_maximum.unsqueeze(-1)).exp().unsqueeze(-1)
        faded = (kept[..., -1] + maximum - next_maximum).exp()[..., None, None]
        memory, maximum = memory * faded + added.transpose(-1, -2) @ v[:, :, n], next_maximum
    return from_chunks(torch.stack(outputs, dim=2), length), _parted(memory, maximum)


def mlstm_step(
    q_BHK: Tensor,
    k_BHK: Tensor,
    v_BHV: Tensor,
    input_gate_BH: Tensor,
    forget_gate_BH: Tensor,
    state: MlstmState,
    *,
    eps: float = 1e-6,
) -> tuple[Tensor, MlstmState]:
    """One position: hidden value (B, H, V) and the new state."""
    log_kept = F.logsigmoid(forget_gate_BH) + state.maximum
    top = torch.maximum(log_kept, input_gate_BH)
    kept_BH1 = (log_kept - top).exp().unsqueeze(-1)
    written_BHK = k_BHK * (input_gate_BH - top).exp().unsqueeze(-1)
    memory = torch.addcmul(
        state.memory * kept_BH1.unsqueeze(-1), written_BHK.unsqueeze(-1), v_BHV.unsqueeze(-2)
    )
    normaliser = torch.addcmul(written_BHK, state.normaliser, kept_BH1)
    q_BHK = q_BHK * q_BHK.shape[-1] ** -0.5
    read = torch.cat(
        ((q_BHK.unsqueeze(-2) @ memory).squeeze(-2), (q_BHK * normaliser).sum(-1, keepdim=True)), dim=-1
    )
    return _normalised(read, top, eps), MlstmState(memory, normaliser, top)


def _normalised(read: Tensor, top: Tensor, eps: float) -> Tensor:
    """The value columns over the last, normalising, column."""
    floor = (-top).exp().unsqueeze(-1)
    return read[..., :-1] / (torch.maximum(read[..., -1:].abs(), floor) + eps)


def _joined(state: MlstmState | None, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Memory with the normaliser as its last column, and the maximum; zeros before the first position."""
    if state is None:
        batch, heads = k.shape[:2]
        return v.new_zeros(batch, heads, k.shape[-1], v.shape[-1] + 1), v.new_zeros(batch, heads)
    return torch.cat([state.memory, state.normaliser.unsqueeze(-1)], dim=-1), state.maximum


def _parted(memory: Tensor, maximum: Tensor) -> MlstmState:
    return MlstmState(memory[..., :-1], memory[..., -1], maximum)
