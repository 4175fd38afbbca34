"""Losses. Logits are compared in float32 whatever the model's dtype.

M tokens in one list, D width, V vocabulary. Labels of -100 are left out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, assert_never, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from hf_modeling.errors import InputError

IGNORED: Final = -100
CHUNK: Final = 1024
"""Tokens whose logits exist at one time in `chunked_cross_entropy`, at most."""
CHUNK_LOGITS: Final = 2**26
"""Logits that exist at one time for large vocabularies."""

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]


def cross_entropy(logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None) -> Tensor:
    """Mean over labels that are not -100, or with `items` their sum over that number.

    logits (..., V); labels (...) of the same leading shape. `items` is the count of real labels in the whole
    batch that an optimizer step sees, so that losses of its parts add up to the loss of the whole.
    """
    flat_MV, flat_M = logits.flatten(0, -2).float(), labels.flatten().to(logits.device)
    if items is None:
        return F.cross_entropy(flat_MV, flat_M, ignore_index=IGNORED)
    return F.cross_entropy(flat_MV, flat_M, ignore_index=IGNORED, reduction="sum") / items


def next_tokens(labels_BT: Tensor) -> Tensor:
    """For each token the label of the one after it, (B, T); -100 at the end."""
    return F.pad(labels_BT[:, 1:], (0, 1), value=IGNORED)


def causal_lm_loss(logits_BTV: Tensor, labels_BT: Tensor, *, items: Tensor | int | None = None) -> Tensor:
    """How badly each token predicts the next; labels are the input ids themselves, shifted here."""
    return cross_entropy(logits_BTV, next_tokens(labels_BT), items=items)


def chunk_of(vocabulary: int) -> int:
    """How many tokens to take at a time, so that their logits stay small and their products large."""
    return max(64, min(CHUNK, CHUNK_LOGITS // vocabulary))


def chunked_cross_entropy(
    logits_of: Callable[[Tensor], Tensor],
    hidden_MD: Tensor,
    labels_M: Tensor,
    *,
    items: Tensor | int | None = None,
    chunk: int = CHUNK,
    weights: Iterable[Tensor] = (),
) -> Tensor:
    """`cross_entropy` of `logits_of(hidden_MD)` without all logits at once, backward pass included.

    Each chunk's logits are computed, reduced to a number and to gradients, and dropped, so that the backward
    pass has nothing to compute again.

    weights: what `logits_of` computes with and what is to be trained of it.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    if torch.is_grad_enabled() and (hidden_MD.requires_grad or trained):
        total: Tensor = _ChunkedSum.apply(logits_of, labels_M, chunk, hidden_MD, *trained)  # type: ignore[no-untyped-call]  # torch's
    else:
        chunks = zip(hidden_MD.split(chunk), labels_M.split(chunk), strict=True)
        parts = [_summed(logits_of, hidden, labels) for hidden, labels in chunks]
        total = torch.stack(parts).sum() if parts else hidden_MD.new_zeros((), dtype=torch.float32)
    return total / ((labels_M != IGNORED).sum() if items is None else items)


def classification_loss(
    logits_BC: Tensor, labels: Tensor, problem_type: ProblemType | None, *, items: Tensor | int | None = None
) -> Tensor:
    """The loss of a classifier with C outputs.

    A mean over all labels, or with `items` their sum over that number. Without a `problem_type`: one output is
    a regression, integer labels pick one of C classes, other labels say yes or no to each of C.
    """
    match problem_type or _problem(logits_BC.shape[-1], labels):
        case "regression":
            errors = F.mse_loss(logits_BC.view(labels.shape).float(), labels.float(), reduction="none")
            return errors.mean() if items is None else errors.sum() / items
        case "single_label_classification":
            return cross_entropy(logits_BC, labels, items=items)
        case "multi_label_classification":
            losses = F.binary_cross_entropy_with_logits(logits_BC.float(), labels.float(), reduction="none")
            return losses.mean() if items is None else losses.sum() / items
        case unknown:
            assert_never(unknown)


def _problem(outputs: int, labels: Tensor) -> ProblemType:
    if outputs == 1:
        return "regression"
    return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


def span_loss(starts_BT: Tensor, ends_BT: Tensor, start_B: Tensor, end_B: Tensor) -> Tensor:
    """Mean of the losses of where an answer starts and ends; positions beyond the text are left out."""
    T = starts_BT.shape[1]
    losses = (
        F.cross_entropy(scores_BT.float(), place_B.view(-1).clamp(0, T), ignore_index=T)
        for scores_BT, place_B in ((starts_BT, start_B), (ends_BT, end_B))
    )
    return sum(losses, start=starts_BT.new_zeros(())) / 2


def load_balancing_loss(
    router_logits: tuple[Tensor, ...], experts: int, top_k: int, valid_M: Tensor | None = None
) -> Tensor:
    """experts * sum over experts of (share of tokens sent there) * (its mean probability): top_k when even.

    router_logits: (M, experts) for each sparse layer; `valid_M` False leaves a padding token out.
    (arXiv 2101.03961, equations 4 to 6.)
    """
    if not router_logits:
        raise InputError("no router logits to balance", fix="ask the model for output_router_logits=True")
    probabilities = torch.cat([logits.float().softmax(-1) for logits in router_logits])
    if valid_M is not None:
        probabilities = probabilities[valid_M.repeat(len(router_logits))]
    chosen = probabilities.topk(top_k, dim=-1).indices
    sent_E = F.one_hot(chosen, experts).sum(1).float().mean(0)
    return experts * (sent_E * probabilities.mean(0)).sum()


@final
class _ChunkedSum(torch.autograd.Function):
    """Sum of the losses of all tokens. Gradients are made in the forward pass, while the logits are there."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        logits_of: Callable[[Tensor], Tensor],
        labels_M: Tensor,
        chunk: int,
        hidden_MD: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        total = hidden_MD.new_zeros((), dtype=torch.float32)
        gradients = [torch.zeros_like(hidden_MD), *(torch.zeros_like(weight) for weight in weights)]
        for start in range(0, len(labels_M), chunk):
            rows = slice(start, start + chunk)
            with torch.enable_grad():
                hidden = hidden_MD[rows].detach().requires_grad_()
                loss = _summed(logits_of, hidden, labels_M[rows])
            first, *rest = torch.autograd.grad(loss, (hidden, *weights))
            gradients[0][rows] = first
            for sum_, part in zip(gradients[1:], rest, strict=True):
                sum_ += part
            total += loss.detach()
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Function, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        return (None, None, None, *(part * gradient for part in saved))


def _summed(logits_of: Callable[[Tensor], Tensor], hidden_MD: Tensor, labels_M: Tensor) -> Tensor:
    return F.cross_entropy(logits_of(hidden_MD).float(), labels_M, ignore_index=IGNORED, reduction="sum")
