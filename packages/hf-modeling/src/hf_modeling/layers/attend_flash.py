"""Attention by the flash-attn package (arXiv 2307.08691): half precision on CUDA, without masks in memory.

B batch, N query heads, K key heads, T queries, S keys, H features of queries and keys, V of values; X real
queries and Y real keys of all sequences, one after the other. The kernels know causal order, windows and the
ends of sequences; padding is taken out before and put back, as zeros, after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_hub_io.errors import MissingPackageError
from hf_modeling.errors import BackendUnsupportedError
from hf_modeling.masks import Mask, Rows
from hf_modeling.spec import Bidirectional, BidirectionalWindow, Causal, Chunk, MaskRule, Window

INSTALL = "pip install flash-attn --no-build-isolation"
DTYPES = (torch.float16, torch.bfloat16)
"""What the kernels compute in; sums are in float32."""


@final
@dataclass(frozen=True, slots=True)
class FlashKernels:
    """The package's two functions: for rows of one length, and for sequences one after the other."""

    rows: Callable[..., Tensor]
    sequences: Callable[..., Tensor]


def flash_kernels() -> FlashKernels:
    """The installed package's functions. Raises MissingPackageError."""
    try:
        module = import_module("flash_attn")
    except ImportError:
        raise MissingPackageError(
            "flash-attn", extra="attn_implementation='flash'", install=INSTALL
        ) from None
    return FlashKernels(module.flash_attn_func, module.flash_attn_varlen_func)


@final
@dataclass(frozen=True, slots=True)
class Sequences:
    """Real tokens of a step in sequences: where they lie in (B * T) and (B * S), and where each one ends.

    `query_ends` and `key_ends` are cumulative lengths from 0, int32, as the kernel takes them.
    """

    queries_X: Tensor
    keys_Y: Tensor
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FlashAttend:
    """Flash attention with caps and windows."""

    scale: float
    softcap: float | None
    kernels: FlashKernels

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
        _refuse(q_BNTH, mask, bias, sinks_N)
        (B, N, T, H), V = q_BNTH.shape, v_BKSV.shape[3]
        # The kernels take one size for keys and values; zeros change neither scores nor what is kept.
        q_BTNX, k_BSKX, v_BSKX = (
            F.pad(x.transpose(1, 2), (0, max(H, V) - x.shape[3])) for x in (q_BNTH, k_BKSH, v_BKSV)
        )
        causal, window = kernel_window(mask)
        softcap = self.softcap or 0.0
        if mask.rows is None:
            mixed = self.kernels.rows(
                q_BTNX, k_BSKX, v_BSKX, dropout, self.scale, causal, window_size=window, softcap=softcap
            )
            return mixed[..., :V].transpose(1, 2)
        rows, rule = mask.rows, mask.rule
        parts = mask.form("flash", lambda: sequences(rule, rows, B))
        mixed_XNV = self.kernels.sequences(
            q_BTNX.flatten(0, 1)[parts.queries_X],
            k_BSKX.flatten(0, 1)[parts.keys_Y],
            v_BSKX.flatten(0, 1)[parts.keys_Y],
            parts.query_ends,
            parts.key_ends,
            parts.longest_query,
            parts.longest_key,
            dropout,
            self.scale,
            causal,
            window_size=window,
            softcap=softcap,
        )[..., :V]
        filled = mixed_XNV.new_zeros(B * T, N, V).index_copy(0, parts.queries_X, mixed_XNV)
        return filled.view(B, T, N, V).transpose(1, 2)


def kernel_window(mask: Mask) -> tuple[bool, tuple[int, int]]:
    """Whether the kernel hides later keys, and how many keys before and after a query it shows (-1: all)."""
    match mask.rule:
        case None:
            return mask.causal, (-1, -1)
        case Causal():
            return True, (-1, -1)
        case Window(size=size):
            return True, (size - 1, 0)
        case Bidirectional():
            return False, (-1, -1)
        case BidirectionalWindow(size=size):
            return False, (size - 1, size - 1)
        case Chunk():
            raise BackendUnsupportedError(
                "attention backend 'flash' cannot compute chunks", fix="pass attn_implementation='sdpa'"
            )


def sequences(rule: MaskRule | None, rows: Rows, batch: int) -> Sequences:
    """The real tokens of each row, or of each sequence packed into it, in order.

    The kernels let the last query see the last key, so a row's queries must be the latest of its keys.

    Raises:
        BackendUnsupportedError: blocks that see both ways, or padding between the tokens of a window.
    """
    if rows.query_block_BT is not None:
        raise _unsupported("tokens that see each other both ways")
    q_order_BT, k_order_BS = rows.query_order_BT.expand(batch, -1), rows.key_order_BS.expand(batch, -1)
    if rows.query_segment_BT is not None:
        number = rows.query_segment_BT.expand(batch, -1)
        lengths = torch.unique_consecutive(_apart(number), return_counts=True)[1]
        every = torch.arange(q_order_BT.numel(), device=q_order_BT.device)
        ends, longest = _ends(lengths), int(lengths.max())
        return Sequences(every, every, ends, ends, longest, longest)
    valid_BS = torch.ones_like(k_order_BS, dtype=torch.bool)
    if rows.key_valid_BS is not None:
        valid_BS = rows.key_valid_BS.expand(batch, -1)
    # A ring's keys lie in any order, unwritten slots among them: sort them, those that count first.
    S = k_order_BS.shape[1]
    place_BS = torch.where(valid_BS, k_order_BS, k_order_BS.max() + 1).argsort(dim=1, stable=True)
    counts_B = valid_BS.sum(1)
    front_BS = torch.arange(S, device=k_order_BS.device) < counts_B[:, None]
    sorted_BS = k_order_BS.gather(1, place_BS)
    if isinstance(rule, Window | BidirectionalWindow) and bool(_gaps(sorted_BS, front_BS)):
        raise _unsupported("windows over padding between real tokens")
    keys_Y = (place_BS + S * torch.arange(batch, device=place_BS.device)[:, None])[front_BS]
    real_BT = _real_queries(q_order_BT, k_order_BS, valid_BS)
    lengths_B = real_BT.sum(1)
    return Sequences(
        real_BT.flatten().nonzero().squeeze(1),
        keys_Y,
        _ends(lengths_B),
        _ends(counts_B),
        int(lengths_B.max()),
        int(counts_B.max()),
    )


def _refuse(q_BNTH: Tensor, mask: Mask, bias: Tensor | None, sinks_N: Tensor | None) -> None:
    if bias is not None or sinks_N is not None:
        raise _unsupported("biases by distance" if bias is not None else "attention sinks")
    if mask.rows is None and mask.tensor is not None:
        raise _unsupported("a mask given as a tensor")
    if q_BNTH.dtype not in DTYPES:
        raise BackendUnsupportedError(
            f"attention backend 'flash' computes in float16 and bfloat16, not in {q_BNTH.dtype}",
            fix="load the model with dtype=torch.bfloat16, or pass attn_implementation='sdpa'",
        )


def _unsupported(mechanism: str) -> BackendUnsupportedError:
    return BackendUnsupportedError(
        f"attention backend 'flash' cannot compute {mechanism}",
        fix="pass attn_implementation='eager', or leave it out to get the fastest that fits",
    )


def _apart(number_BT: Tensor) -> Tensor:
    """Segment numbers that differ between rows too, in one line."""
    rows_B1 = torch.arange(number_BT.shape[0], device=number_BT.device)[:, None]
    return (number_BT + rows_B1 * (number_BT.max() + 1)).flatten()


def _ends(lengths: Tensor) -> Tensor:
    return F.pad(lengths.cumsum(0), (1, 0)).int()


def _gaps(order_BS: Tensor, front_BS: Tensor) -> Tensor:
    return ((order_BS.diff(dim=1) != 1) & front_BS[:, 1:]).any()


def _real_queries(q_order_BT: Tensor, k_order_BS: Tensor, valid_BS: Tensor) -> Tensor:
    """Queries that are real: those whose own key counts."""
    beyond = int(torch.maximum(q_order_BT.max(), k_order_BS.max())) + 1
    place_BS = torch.where(valid_BS, k_order_BS, beyond)
    real = torch.zeros(len(q_order_BT), beyond + 1, dtype=torch.bool, device=q_order_BT.device)
    return real.scatter(1, place_BS, True)[:, :-1].gather(1, q_order_BT)
