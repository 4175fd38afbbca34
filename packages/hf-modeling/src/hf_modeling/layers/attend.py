"""Backends of attention: from queries, keys, values and a mask to mixed values, all with one signature.

B batch, N query heads, K key heads (N = K * G), T queries, S keys, H features of queries and keys, V of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.masks import Mask

Backend = Literal["eager", "sdpa", "flex", "flash"]


class Attend(Protocol):
    """Softmax attention. `bias` (B or 1, N, 1 or T, S) is added to scores; `sinks_N` are logits without a value."""

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor: ...


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EagerAttend:
    """Attention written out: every score exists, so caps, sinks and the weights themselves can be had."""

    scale: float
    softcap: float | None = None
    scores_dtype: torch.dtype | None = None
    softmax_dtype: torch.dtype | None = torch.float32

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        return self.mix(self.weights(q_BNTH, k_BKSH, mask, bias, sinks_N), v_BKSV, dropout)

    def weights(
        self, q_BNTH: Tensor, k_BKSH: Tensor, mask: Mask, bias: Tensor | None, sinks_N: Tensor | None
    ) -> Tensor:
        """How much each query takes from each key, (B, N, T, S), in the queries' dtype."""
        B, N, T, H = q_BNTH.shape
        K, S = k_BKSH.shape[1], k_BKSH.shape[2]
        dtype = self.scores_dtype or q_BNTH.dtype
        # Queries of one key head are laid in a row, so keys are never copied per query head.
        grouped = q_BNTH.reshape(B, K, N // K * T, H).to(dtype)
        scores_BNTS = (grouped @ k_BKSH.to(dtype).transpose(-1, -2)).view(B, N, T, S) * self.scale
        if self.softcap is not None:
            scores_BNTS = torch.tanh(scores_BNTS / self.softcap) * self.softcap
        if bias is not None:
            scores_BNTS = scores_BNTS + bias
        allowed = mask.dense(T, S, q_BNTH.device)
        if allowed is not None:
            scores_BNTS = hide(scores_BNTS, allowed)
        if sinks_N is not None:
            sinks_BNT1 = sinks_N.view(1, N, 1, 1).to(scores_BNTS.dtype).expand(B, N, T, 1)
            scores_BNTS = torch.cat((scores_BNTS, sinks_BNT1), dim=-1)
        weights = scores_BNTS.softmax(-1, dtype=self.softmax_dtype).to(q_BNTH.dtype)
        return weights if sinks_N is None else weights[..., :-1]

    def mix(self, weights_BNTS: Tensor, v_BKSV: Tensor, dropout: float) -> Tensor:
        """Values in the proportions of `weights_BNTS`, (B, N, T, V)."""
        B, N, T, S = weights_BNTS.shape
        K = v_BKSV.shape[1]
        if dropout > 0:
            weights_BNTS = F.dropout(weights_BNTS, dropout)
        return (weights_BNTS.reshape(B, K, N // K * T, S) @ v_BKSV).view(B, N, T, -1)


@final
@dataclass(frozen=True, slots=True)
class Recording:
    """Attention written out, which keeps the weights of each call: what stands in for a backend that shows none."""

    eager: EagerAttend
    record: list[Tensor]

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        weights_BNTS = self.eager.weights(q_BNTH, k_BKSH, mask, bias, sinks_N)
        self.record.append(weights_BNTS)
        return self.eager.mix(weights_BNTS, v_BKSV, dropout)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SdpaAttend:
    """PyTorch's fused attention. A mask tensor is passed only where it says something that `causal` does not."""

    scale: float

    def __call__(
        self,
        q_BNTH: Tensor,
        k_BKSH: Tensor,
        v_BKSV: Tensor,
        mask: Mask,
        bias: Tensor | None,
        sinks_N: Tensor | None,
        dropout: float,
    ) -> Tensor:
        allowed, causal = mask.tensor if mask.rows is None else mask.allowed, mask.causal
        if bias is not None:
            hidden = mask.dense(q_BNTH.shape[2], k_BKSH.shape[2], q_BNTH.device)
            allowed, causal = (bias if hidden is None else hide(bias, hidden)).to(q_BNTH.dtype), False
        repeats = q_BNTH.shape[1] // k_BKSH.shape[1]
        if repeats > 1 and allowed is not None and q_BNTH.is_cuda:
            # No fused CUDA kernel takes a mask tensor and grouped heads; without one, all scores are stored.
            k_BKSH, v_BKSV = k_BKSH.repeat_interleave(repeats, 1), v_BKSV.repeat_interleave(repeats, 1)
            repeats = 1
        return F.scaled_dot_product_attention(
            q_BNTH,
            k_BKSH,
            v_BKSV,
            attn_mask=allowed,
            dropout_p=dropout,
            is_causal=causal,
            scale=self.scale,
            enable_gqa=repeats > 1,
        )


def hide(scores: Tensor, allowed: Tensor) -> Tensor:
    """Scores with -inf where `allowed` is False, or with `allowed` added if it is a number."""
    if allowed.dtype is torch.bool:
        return scores.masked_fill(~allowed, float("-inf"))
    return scores + allowed
