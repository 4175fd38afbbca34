"""Attention by PyTorch's `flex_attention`: one fused kernel that skips blocks in which nothing may be seen.

B batch, N query heads, K key heads, T queries, S keys, H features of queries and keys, V of values.
On an accelerator the kernel is compiled; on a CPU the same graph runs unfused, forwards only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import final

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import (
    AuxOutput,
    AuxRequest,
    BlockMask,
    create_block_mask,
    flex_attention,
)

from hf_modeling.errors import BackendUnsupportedError
from hf_modeling.masks import Mask, Rows, sees
from hf_modeling.spec import MaskRule

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_BLOCK = 128  # the kernel's own block size; masks are described in blocks of it


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FlexAttend:
    """`flex_attention` with caps, biases and sinks. It has no dropout, and on CPUs no gradients."""

    scale: float
    softcap: float | None = None

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
        _refuse(q_BNTH, k_BKSH, v_BKSV, dropout)
        (B, N, T, _), S = q_BNTH.shape, k_BKSH.shape[2]
        blocks = block_mask(mask, B, T, S, q_BNTH.device)
        added = mask.tensor if mask.tensor is not None and mask.tensor.dtype is not torch.bool else None
        shape = (B, N, T, S)
        parts = [part.expand(shape).contiguous() for part in (bias, added) if part is not None]
        score_mod = None if self.softcap is None and not parts else _score_mod(self.softcap, parts)
        mixed_BNTV, aux = _kernel(q_BNTH.device.type)(
            q_BNTH,
            k_BKSH,
            v_BKSV,
            score_mod=score_mod,
            block_mask=blocks,
            scale=self.scale,
            enable_gqa=k_BKSH.shape[1] != N,
            return_aux=AuxRequest(lse=sinks_N is not None),
        )
        if sinks_N is None:
            return mixed_BNTV
        assert aux.lse is not None, "it was asked for"
        # A sink is one more logit without a value: the others keep exp(lse) / (exp(lse) + exp(sink)) of the whole.
        kept_BNT = torch.sigmoid(aux.lse - sinks_N[:, None].to(aux.lse.dtype))
        return mixed_BNTV * kept_BNT[..., None].to(mixed_BNTV.dtype)


def block_mask(mask: Mask, batch: int, queries: int, keys: int, device: torch.device) -> BlockMask | None:
    """`mask` as flex attention takes it: a function of two tokens, and the blocks where it says yes at all."""
    rule, rows, tensor = mask.rule, mask.rows, mask.tensor
    if mask.causal:
        return _causal_blocks(queries, keys, str(device))
    if rule is not None and rows is not None:
        return mask.form(
            "flex",
            lambda: create_block_mask(
                _rows_mod(rule, rows, batch), batch, None, queries, keys, device, _BLOCK
            ),
        )
    if tensor is None or tensor.dtype is not torch.bool:
        return None
    heads = None if tensor.shape[1] == 1 else tensor.shape[1]
    tensor_mod = _tensor_mod(tensor.expand(batch, -1, queries, keys).contiguous())
    return mask.form(
        "flex", lambda: create_block_mask(tensor_mod, batch, heads, queries, keys, device, _BLOCK)
    )


@lru_cache(maxsize=8)
def _causal_blocks(queries: int, keys: int, device: str) -> BlockMask:
    def causal(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return key <= query

    return create_block_mask(causal, None, None, queries, keys, device, _BLOCK)


def _rows_mod(rule: MaskRule, rows: Rows, batch: int) -> MaskMod:
    """The rule for single tokens. Padding that sees nothing gets zeros here, which no real token looks at."""
    q_order, k_order = _each(rows.query_order_BT, batch), _each(rows.key_order_BS, batch)
    q_start, k_start = _starts(rows.query_start_BT, q_order), _starts(rows.key_start_BS, k_order)
    segments = (rows.query_segment_BT, rows.key_segment_BS)
    q_segment, k_segment = (_maybe_each(numbers, batch) for numbers in segments)
    q_block, k_block = (_maybe_each(numbers, batch) for numbers in (rows.query_block_BT, rows.key_block_BS))
    valid = _maybe_each(rows.key_valid_BS, batch)

    def may(b: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = sees(rule, q_order[b, q], k_order[b, k], q_start[b, q], k_start[b, k])
        if q_block is not None and k_block is not None:
            seen = seen | ((q_block[b, q] == k_block[b, k]) & (q_block[b, q] >= 0))
        if q_segment is not None and k_segment is not None:
            seen = seen & (q_segment[b, q] == k_segment[b, k])
        return seen if valid is None else seen & valid[b, k]

    return may


def _tensor_mod(seen_BNTS: Tensor) -> MaskMod:
    single = seen_BNTS.shape[1] == 1

    def may(b: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return seen_BNTS[b, 0, q, k] if single else seen_BNTS[b, head, q, k]

    return may


def _score_mod(softcap: float | None, added: list[Tensor]) -> ScoreMod:
    """What happens to a scaled score before the mask: the cap, then what is added to it."""

    def change(score: Tensor, b: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if softcap is not None:
            score = torch.tanh(score / softcap) * softcap
        for one_BNTS in added:
            score = score + one_BNTS[b, head, q, k]
        return score

    return change


@cache
def _kernel(device: str) -> Callable[..., tuple[Tensor, AuxOutput]]:
    """The kernel, compiled; a CPU runs its graph as it is, since fused code there needs a C++ compiler."""
    return torch.compile(flex_attention, backend="eager" if device == "cpu" else "inductor")


def _refuse(q_BNTH: Tensor, k_BKSH: Tensor, v_BKSV: Tensor, dropout: float) -> None:
    if dropout > 0:
        raise BackendUnsupportedError(
            "attention backend 'flex' has no dropout, which this model trains with",
            fix="set attention_dropout=0 in the config, or pass attn_implementation='sdpa'",
        )
    records = torch.is_grad_enabled() and any(x.requires_grad for x in (q_BNTH, k_BKSH, v_BKSV))
    if records and q_BNTH.device.type == "cpu":
        raise BackendUnsupportedError(
            "attention backend 'flex' cannot compute gradients on a CPU",
            fix="call the model under torch.no_grad(), or pass attn_implementation='sdpa'",
        )


def _each(order: Tensor, batch: int) -> Tensor:
    return order.expand(batch, -1).contiguous()  # strides of 0 would be compiled in


def _maybe_each(numbers: Tensor | None, batch: int) -> Tensor | None:
    return None if numbers is None else _each(numbers, batch)


def _starts(starts: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if starts is None else starts.expand_as(like).contiguous()
