"""The loss of a step on a layout. Sums over this rank's tokens, divided by the tokens of all ranks.

M tokens in one list, V vocabulary, U this rank's rows of the vocabulary.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.distributed import ProcessGroup, ReduceOp, all_reduce

from hf_modeling.loss import IGNORED


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum of -log p over targets that are not -100, in float32. Logits (..., V), targets (...)."""
    return F.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def vocabulary_cross_entropy(
    logits: Tensor, targets: Tensor, *, first: int, vocabulary: int, group: ProcessGroup
) -> Tensor:
    """`summed_cross_entropy` where each rank has the logits (..., U) of its own rows, from row `first` on.

    Three numbers per token are exchanged, however large the vocabulary. Rows from `vocabulary` on are padding.
    """
    flat_MU = logits.flatten(0, -2).float()
    padding = first + flat_MU.shape[1] - vocabulary
    if padding > 0:
        kept = torch.arange(flat_MU.shape[1], device=flat_MU.device) < flat_MU.shape[1] - padding
        flat_MU = flat_MU.masked_fill(~kept, float("-inf"))
    function: type[Function] = _VocabularyLoss  # torch leaves `apply` unannotated
    return cast("Tensor", function.apply(flat_MU, targets.flatten(), first, group))


class _VocabularyLoss(Function):
    @staticmethod
    def forward(ctx: Any, logits_MU: Tensor, targets_M: Tensor, first: int, group: ProcessGroup) -> Tensor:
        top_M = logits_MU.amax(-1)
        all_reduce(top_M, op=ReduceOp.MAX, group=group)
        powers_MU = (logits_MU - top_M[:, None]).exp()
        local_M = targets_M - first
        mine_M = (local_M >= 0) & (local_M < logits_MU.shape[1])
        index_M1 = local_M.clamp(0, logits_MU.shape[1] - 1)[:, None]
        own_M = torch.where(mine_M, logits_MU.gather(1, index_M1).squeeze(1) - top_M, 0.0)
        sums_2M = torch.stack((powers_MU.sum(-1), own_M))
        all_reduce(sums_2M, group=group)
        real_M = targets_M != IGNORED
        ctx.save_for_backward(powers_MU / sums_2M[0][:, None], index_M1, mine_M, real_M)
        return ((sums_2M[0].log() - sums_2M[1]) * real_M).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        shares_MU, index_M1, mine_M, real_M = ctx.saved_tensors
        made = shares_MU.clone()
        made.scatter_add_(1, index_M1, -mine_M[:, None].to(made.dtype))
        return made * real_M[:, None] * grad, None, None, None
