"""The gated delta rule: S' = exp(g_t) S_{t-1}; S_t = S' + beta_t k_t (v_t - S'^T k_t)^T; o_t = S_t^T q_t.

The decay is one number per head (gated delta net, arXiv:2412.06464) or one per key channel (KDA,
arXiv:2510.26692). Inside a chunk the corrections u solve a unit lower triangular system (the WY form of
arXiv:2406.06484), so a chunk costs matrix products and one triangular solve in place of C dependent
steps.
Legend: B batch, H heads, T time, N chunks, C positions of a chunk, K key width, V value width.
"""

import torch
from torch import Tensor

from hf_modeling.recurrence.chunks import decays_between, from_chunks, into_chunks

CHUNK = 64
CHANNEL_CHUNK = 16  # the decays between two positions are K numbers there, so a chunk costs C*C*K


def gated_delta(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    g: Tensor,
    beta_BHT: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, H, T, V) and the state (B, H, K, V) after the last position.

    `g` holds log decays <= 0 of shape (B, H, T), or (B, H, T, K) for one decay per key channel.
    q and k come normalised and scaled as the mixer wants them; compute in float32.
    """
    per_channel = g.ndim == 4
    length = q_BHTK.shape[2]
    size = min(chunk or (CHANNEL_CHUNK if per_channel else CHUNK), length)
    q, k, v = (into_chunks(x, size) for x in (q_BHTK, k_BHTK, v_BHTV))
    beta_BHNC1 = into_chunks(beta_BHT, size).unsqueeze(-1)
    total_BHNCK = into_chunks(g if per_channel else g.unsqueeze(-1), size).cumsum(-2)

    k_scores, q_scores = _scores_inside(q, k, total_BHNCK)
    from_start = total_BHNCK.exp()
    right_hand = torch.cat([v, k * from_start], dim=-1) * beta_BHNC1
    system = (k_scores * beta_BHNC1).tril(-1)
    solved = torch.linalg.solve_triangular(system, right_hand, upper=False, unitriangular=True)
    u_BHNCV, w_BHNCK = solved.split([v.shape[-1], k.shape[-1]], dim=-1)

    q_from_start = q * from_start
    k_to_end = k * (total_BHNCK[..., -1:, :] - total_BHNCK).exp()
    kept_BHNK1 = total_BHNCK[..., -1, :].exp().unsqueeze(-1)
    state = state_BHKV if state_BHKV is not None else v.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    outputs: list[Tensor] = []
    for n in range(q.shape[2]):
        correction_BHCV = u_BHNCV[:, :, n] - w_BHNCK[:, :, n] @ state
        outputs.append(q_from_start[:, :, n] @ state + q_scores[:, :, n] @ correction_BHCV)
        state = state * kept_BHNK1[:, :, n] + k_to_end[:, :, n].transpose(-1, -2) @ correction_BHCV
    return from_chunks(torch.stack(outputs, dim=2), length), state


def gated_delta_step(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, g: Tensor, beta_BH: Tensor, state_BHKV: Tensor
) -> tuple[Tensor, Tensor]:
    """One position: output (B, H, V) and the new state; `g` is (B, H) or (B, H, K)."""
    decay = g.exp()
    kept = state_BHKV * (decay.unsqueeze(-1) if g.ndim == 3 else decay[..., None, None])
    remembered_BHV = (k_BHK.unsqueeze(-2) @ kept).squeeze(-2)
    correction_BHV = (v_BHV - remembered_BHV) * beta_BH.unsqueeze(-1)
    state = torch.addcmul(kept, k_BHK.unsqueeze(-1), correction_BHV.unsqueeze(-2))
    return (q_BHK.unsqueeze(-2) @ state).squeeze(-2), state


def _scores_inside(q: Tensor, k: Tensor, total_BHNCK: Tensor) -> tuple[Tensor, Tensor]:
    """(k_i . k_j) and (q_i . k_j), each weighted by the decay from j to i, for j <= i of one chunk."""
    if total_BHNCK.shape[-1] == 1:
        decay_BHNCC = decays_between(total_BHNCK.squeeze(-1))
        keys = k.transpose(-1, -2)
        return (k @ keys) * decay_BHNCC, (q @ keys) * decay_BHNCC
    decay_BHNCCK = decays_between(total_BHNCK.transpose(-1, -2)).movedim(-3, -1)
    decayed_keys = decay_BHNCCK * k.unsqueeze(-3)
    return (k.unsqueeze(-2) * decayed_keys).sum(-1), (q.unsqueeze(-2) * decayed_keys).sum(-1)
