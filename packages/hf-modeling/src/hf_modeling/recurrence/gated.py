"""Gated linear attention: S_t = exp(g_t) S_{t-1} + k_t v_t^T, o_t = S_t^T q_t, with one decay per head.

Lightning attention (constant decay per head) and Mamba-2 (k = B, q = C, v = dt x, g = dt A) are this
recurrence. Source of the chunked form: "Transformers are SSMs" (arXiv:2405.21060), section 6.
Legend: B batch, H heads, T time, N chunks, C positions of a chunk, K key width, V value width.
"""

import torch
from torch import Tensor

from hf_modeling.recurrence.chunks import decays_between, from_chunks, into_chunks

CHUNK = 64


def gated_linear(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    g_BHT: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, H, T, V) and the state (B, H, K, V) after the last position.

    `g` holds log decays <= 0; all tensors share one floating dtype, float32 where the numbers matter.
    """
    length = q_BHTK.shape[2]
    chunk = min(chunk, length)
    q, k, v = (into_chunks(x, chunk) for x in (q_BHTK, k_BHTK, v_BHTV))
    total_BHNC = into_chunks(g_BHT, chunk).cumsum(-1)
    inside_BHNCV = ((q @ k.transpose(-1, -2)) * decays_between(total_BHNC)) @ v
    q_from_start = q * total_BHNC.exp().unsqueeze(-1)
    k_to_end = k * (total_BHNC[..., -1:] - total_BHNC).exp().unsqueeze(-1)
    added_BHNKV = k_to_end.transpose(-1, -2) @ v
    kept_BHN = total_BHNC[..., -1].exp()
    state = _first_state(state_BHKV, k_BHTK, v_BHTV)
    before: list[Tensor] = []
    for n in range(q.shape[2]):
        before.append(state)
        state = state * kept_BHN[:, :, n, None, None] + added_BHNKV[:, :, n]
    outputs = inside_BHNCV + q_from_start @ torch.stack(before, dim=2)
    return from_chunks(outputs, length), state


def gated_linear_step(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, g_BH: Tensor, state_BHKV: Tensor
) -> tuple[Tensor, Tensor]:
    """One position: output (B, H, V) and the new state."""
    kept = state_BHKV * g_BH.exp()[..., None, None]
    state = torch.addcmul(kept, k_BHK.unsqueeze(-1), v_BHV.unsqueeze(-2))
    return (q_BHK.unsqueeze(-2) @ state).squeeze(-2), state


def _first_state(state_BHKV: Tensor | None, k_BHTK: Tensor, v_BHTV: Tensor) -> Tensor:
    if state_BHKV is not None:
        return state_BHKV
    return v_BHTV.new_zeros(*k_BHTK.shape[:2], k_BHTK.shape[-1], v_BHTV.shape[-1])
