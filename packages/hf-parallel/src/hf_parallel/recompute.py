"""Activation checkpointing and compilation of blocks, in the order in which they fit around each other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from hf_modeling.step import Step
from hf_parallel.collectives import OPS
from hf_parallel.options import ParallelOptions
from hf_parallel.wrap import Forward, around

KEPT = (
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    OPS.wait_tensor.default,
)
"""What selective checkpointing keeps: products and what other ranks sent; the rest is cheap to make again."""


def wrap_blocks(blocks: Iterable[nn.Module], options: ParallelOptions) -> None:
    """Let blocks be recomputed in the backward pass, and compiled, as the options say.

    Checkpointing is inside the compiled function, so that the compiler plans both passes; FSDP stays outside.
    """
    for block in blocks:
        match options.recompute:
            case "none":
                pass
            case "full":
                around(block, _recomputed)
            case "selective":
                around(block, _partly_recomputed)
            case _:
                assert_never(options.recompute)
        if options.compile:
            around(block, partial(_compiled, backend=options.compiler))


def _recomputed(inner: Forward) -> Forward:
    def forward(h_BTD: Tensor, step: Step, *others: object) -> Tensor:
        made: Tensor = checkpoint(inner, h_BTD, step, *others, use_reentrant=False)
        return made

    return forward


def _partly_recomputed(inner: Forward) -> Forward:
    contexts = partial(create_selective_checkpoint_contexts, list(KEPT))

    def forward(h_BTD: Tensor, step: Step, *others: object) -> Tensor:
        made: Tensor = checkpoint(inner, h_BTD, step, *others, use_reentrant=False, context_fn=contexts)
        return made

    return forward


def _compiled(inner: Forward, backend: str) -> Forward:
    made: Forward = torch.compile(inner, backend=backend)
    return made
