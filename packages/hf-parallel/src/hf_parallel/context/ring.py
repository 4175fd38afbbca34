"""Ring attention (arXiv 2310.01889): exact softmax over keys that pass by, with a backward pass of the same kind.

Forward, each hop's scores are merged by their log-sum-exp. Backward, keys and values go around again, and their
gradients go with them: after as many hops as there are ranks, both are home. No rank ever holds more than one
neighbour's keys beside its own.

B batch, N query heads, K key heads, G = N / K, T tokens of a rank, H features of keys, V of values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.distributed import ProcessGroup

from hf_modeling.layers.attend import EagerAttend
from hf_modeling.masks import Mask, allowed
from hf_parallel.context.order import keys_of


@final
class RingAttention(Function):
    """Mixed values (B, N, T, V) of this rank's queries over all ranks' keys."""

    @staticmethod
    def forward(
        ctx: Any,
        q_BNTH: Tensor,
        k_BKTH: Tensor,
        v_BKTV: Tensor,
        sinks_N: Tensor,
        mask: Mask,
        eager: EagerAttend,
        group: ProcessGroup,
    ) -> Tensor:
        B, N, T, _ = q_BNTH.shape
        mixed = q_BNTH.new_zeros(B, N, T, v_BKTV.shape[-1], dtype=torch.float32)
        lse = q_BNTH.new_full((B, N, T, 1), float("-inf"), dtype=torch.float32)
        if sinks_N.numel():  # a logit without a value: it takes its share of the softmax, and gives nothing
            lse = sinks_N.float().view(1, N, 1, 1).expand(B, N, T, 1)
        keys, values = k_BKTH.contiguous(), v_BKTV.contiguous()
        for hop in range(group.size()):
            source = (group.rank() - hop) % group.size()
            ahead = _pass_on([keys, values], group) if hop < group.size() - 1 else None
            seen = _seen(mask, source, T)
            if seen is not None:
                scores = _scores(q_BNTH, keys, eager, seen)
                merged = torch.logaddexp(lse, scores.logsumexp(-1, keepdim=True))
                weights = _shares(scores, merged)
                mixed = mixed * _shares(lse, merged) + _mixed(weights, values.float())
                lse = merged
            if ahead is not None:
                keys, values = ahead.done()
        made = mixed.to(q_BNTH.dtype)
        ctx.save_for_backward(q_BNTH, k_BKTH, v_BKTV, sinks_N, made, lse)
        ctx.rest = (mask, eager, group)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q_BNTH, k_BKTH, v_BKTV, sinks_N, made, lse = ctx.saved_tensors
        mask, eager, group = ctx.rest
        grad, T = grad.float(), q_BNTH.shape[2]
        inner_BNT1 = (grad * made.float()).sum(-1, keepdim=True)
        dq = torch.zeros_like(q_BNTH, dtype=torch.float32)
        keys, values = k_BKTH.contiguous(), v_BKTV.contiguous()
        dk = torch.zeros_like(keys, dtype=torch.float32)
        dv = torch.zeros_like(values, dtype=torch.float32)
        for hop in range(group.size()):
            source = (group.rank() - hop) % group.size()
            seen = _seen(mask, source, T)
            if seen is not None:
                scores = _scores(q_BNTH, keys, eager, seen)
                weights = _shares(scores, lse)
                dv = dv + _per_key(weights, grad, values.shape[1])
                dscores = weights * (_products(grad, values.float()) - inner_BNT1)
                if eager.softcap is not None:
                    capped = torch.where(seen, scores / eager.softcap, 0.0)
                    dscores = dscores * (1 - capped.square())
                dscores = dscores * eager.scale
                dq = dq + _mixed(dscores, keys.float())
                dk = dk + _per_key(dscores, q_BNTH.float(), keys.shape[1])
            keys, values, dk, dv = _pass_on([keys, values, dk, dv], group).done()
        dsinks = None
        if sinks_N.numel():
            shares = _shares(sinks_N.float().view(1, -1, 1, 1), lse)
            dsinks = -(shares * inner_BNT1).sum((0, 2, 3)).to(sinks_N.dtype)
        return dq.to(q_BNTH.dtype), dk.to(k_BKTH.dtype), dv.to(v_BKTV.dtype), dsinks, None, None, None


def _seen(mask: Mask, source: int, tokens: int) -> Tensor | None:
    """Which keys of rank `source` each query may look at, (B or 1, 1, T, T); None: none of them."""
    assert mask.rule is not None, "layers are given masks over all ranks"
    assert mask.rows is not None, "layers are given masks over all ranks"
    first = source * tokens
    part = keys_of(mask.rows, first, first + tokens)
    seen = allowed(mask.rule, part)
    return seen if bool(seen.any()) else None


def _scores(q_BNTH: Tensor, k_BKTH: Tensor, eager: EagerAttend, seen: Tensor) -> Tensor:
    scores = _products(q_BNTH, k_BKTH).float() * eager.scale
    if eager.softcap is not None:
        scores = torch.tanh(scores / eager.softcap) * eager.softcap
    return scores.masked_fill(~seen, float("-inf"))


def _shares(scores: Tensor, lse: Tensor) -> Tensor:
    """exp(scores - lse), where a query that has seen nothing yet has no shares."""
    return torch.exp(scores - lse.masked_fill(lse == float("-inf"), 0.0))


def _products(x_BNTH: Tensor, k_BKSH: Tensor) -> Tensor:
    """Products with the keys of each query's head, (B, N, T, S); keys are never copied per query head."""
    B, N, T, H = x_BNTH.shape
    K = k_BKSH.shape[1]
    grouped = x_BNTH.reshape(B, K, N // K * T, H)
    return (grouped @ k_BKSH.transpose(-1, -2)).view(B, N, T, -1)


def _mixed(weights_BNTS: Tensor, v_BKSV: Tensor) -> Tensor:
    B, N, T, S = weights_BNTS.shape
    K = v_BKSV.shape[1]
    return (weights_BNTS.reshape(B, K, N // K * T, S) @ v_BKSV).view(B, N, T, -1)


def _per_key(weights_BNTS: Tensor, x_BNTH: Tensor, kv_heads: int) -> Tensor:
    """What keys get of their queries, summed over the queries' heads, (B, K, S, H)."""
    B, N, T, S = weights_BNTS.shape
    grouped = weights_BNTS.reshape(B, kv_heads, N // kv_heads * T, S)
    return grouped.transpose(-1, -2) @ x_BNTH.reshape(B, kv_heads, N // kv_heads * T, -1)


@final
class _PassingOn:
    def __init__(self, works: Sequence[dist.Work], made: list[Tensor], sent: Sequence[Tensor]) -> None:
        self._works, self._made, self._sent = works, made, sent

    def done(self) -> list[Tensor]:
        """What the previous rank sent, once it is here."""
        for work in self._works:
            work.wait()
        return self._made


def _pass_on(tensors: Sequence[Tensor], group: ProcessGroup) -> _PassingOn:
    """Send tensors to the next rank while receiving the previous rank's."""
    ranks = dist.get_process_group_ranks(group)
    after = ranks[(group.rank() + 1) % len(ranks)]
    before = ranks[(group.rank() - 1) % len(ranks)]
    sent = [tensor.contiguous() for tensor in tensors]
    made = [torch.empty_like(tensor) for tensor in sent]
    work = [dist.P2POp(dist.isend, tensor, after, group) for tensor in sent]
    work += [dist.P2POp(dist.irecv, tensor, before, group) for tensor in made]
    return _PassingOn(dist.batch_isend_irecv(work), made, sent)
