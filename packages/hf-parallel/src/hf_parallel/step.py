"""One optimizer step's worth of forward and backward passes on a layout.

The loss is the sum over all ranks' and micro-batches' tokens, divided by how many of them have a target. So it
does not depend on how tokens fall on ranks, and neither do gradients: they are plain sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.loss import IGNORED, load_balancing_loss, next_tokens
from hf_modeling.model import PreTrainedModel
from hf_parallel.collectives import all_gathered, parts_to_whole
from hf_parallel.context import ContextOrder
from hf_parallel.gradients import clip_gradients, complete_gradients
from hf_parallel.loss import summed_cross_entropy, vocabulary_cross_entropy
from hf_parallel.mesh import View
from hf_parallel.parallel import Parallel
from hf_parallel.pipeline.run import Pipeline


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some rows of the global batch, for the ranks of one `batch_rank`.

    targets: (B, T), what each position is to predict; -100 is left out. (`causal` shifts labels.)
    """

    input_ids: Tensor
    targets: Tensor
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None

    @classmethod
    def causal(
        cls,
        input_ids: Tensor,
        labels: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Batch:
        """Each position predicts the next label; labels are the ids themselves unless given."""
        targets = next_tokens(input_ids if labels is None else labels)
        return cls(
            input_ids=input_ids, targets=targets, attention_mask=attention_mask, position_ids=position_ids
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """The mean loss over `tokens` targets of all ranks, and the gradients' norm before clipping."""

    loss: Tensor
    tokens: Tensor
    norm: Tensor | None


def train_step(
    parallel: Parallel[PreTrainedModel], batches: Sequence[Batch], *, max_norm: float | None = None
) -> StepResult:
    """Forward and backward passes of all micro-batches; leaves complete gradients in `.grad`.

    Data parallel ranks talk in the last micro-batch only. All ranks give as many micro-batches.
    """
    batches = [context_part(parallel, batch) for batch in batches]
    tokens = count_tokens(parallel, batches)
    if parallel.pipeline is not None:
        total = _pipeline_pass(parallel, parallel.pipeline, batches, tokens)
    else:
        total = _passes(parallel, batches, tokens)
    complete_gradients(parallel)
    norm = None if max_norm is None else clip_gradients(parallel, max_norm)
    return StepResult(loss=_everywhere(parallel, total), tokens=tokens, norm=norm)


@torch.no_grad()
def evaluate_step(parallel: Parallel[PreTrainedModel], batches: Sequence[Batch]) -> StepResult:
    """The mean loss over the targets of all ranks' batches, without gradients. All ranks give as many batches."""
    batches = [context_part(parallel, batch) for batch in batches]
    tokens = count_tokens(parallel, batches)
    if parallel.pipeline is not None:
        total = _pipeline_pass(parallel, parallel.pipeline, batches, tokens, backward=False)
    else:
        losses = [batch_loss(parallel, batch, tokens, micro_batches=len(batches)) for batch in batches]
        total = torch.stack(losses).sum()
    return StepResult(loss=_everywhere(parallel, total), tokens=tokens, norm=None)


def _everywhere(parallel: Parallel[PreTrainedModel], total: Tensor) -> Tensor:
    """The sum of what data parallel ranks and stages have."""
    views: tuple[View, ...] = ("data", "pp")
    for view in views:
        if parallel.dims.size(view) > 1:
            dist.all_reduce(total, group=parallel.dims.group(view))
    return total


def _passes(parallel: Parallel[PreTrainedModel], batches: Sequence[Batch], tokens: Tensor) -> Tensor:
    total = torch.zeros((), device=parallel.dims.device)
    for number, batch in enumerate(batches):
        _set_sync(parallel, last=number == len(batches) - 1)
        loss = batch_loss(parallel, batch, tokens, micro_batches=len(batches))
        loss.backward()
        total += loss.detach()
    return total


def _pipeline_pass(
    parallel: Parallel[PreTrainedModel],
    pipeline: Pipeline,
    batches: Sequence[Batch],
    tokens: Tensor,
    *,
    backward: bool = True,
) -> Tensor:
    """All micro-batches through the stages at once: what is accumulated is more of them."""
    batch = joined(batches)
    rows = batch.input_ids.shape[0]
    each = parallel.options.microbatches or pipeline.stages[0].count
    named = {"attention_mask": batch.attention_mask, "position_ids": batch.position_ids}
    given = {name: x.expand(rows, -1).contiguous() for name, x in named.items() if x is not None}
    pipeline.scale = tokens
    return pipeline.step(
        batch.input_ids,
        batch.targets,
        given,
        each * len(batches),
        lambda logits, targets: token_losses(parallel, logits, targets),
        backward=backward,
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of all batches as one."""
    first = batches[0]
    return Batch(
        input_ids=torch.cat([batch.input_ids for batch in batches]),
        targets=torch.cat([batch.targets for batch in batches]),
        attention_mask=_rows([batch.attention_mask for batch in batches], first),
        position_ids=_rows([batch.position_ids for batch in batches], first),
    )


def _rows(parts: Sequence[Tensor | None], like: Batch) -> Tensor | None:
    """Rows of all parts; masks that were left out hide nothing, positions must be given for all or for none."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    assert len(found) == len(parts), "batches of one step are described alike"
    return torch.cat([part.expand(like.input_ids.shape[0], -1) for part in found])


def context_part(parallel: Parallel[PreTrainedModel], batch: Batch) -> Batch:
    """This rank's tokens of a batch that all ranks of its `cp` group have read alike."""
    order = ContextOrder(parallel.dims.spec.cp, parallel.options.balance)
    return order.part(batch, parallel.dims.rank("cp"))


def count_tokens(parallel: Parallel[PreTrainedModel], batches: Sequence[Batch]) -> Tensor:
    """How many targets all ranks' micro-batches have together; at least one, so that it can divide."""
    count = torch.stack([(batch.targets != IGNORED).sum() for batch in batches]).sum()
    count = count.to(parallel.dims.device)
    if parallel.dims.size("data") > 1:
        dist.all_reduce(count, group=parallel.dims.group("data"))
    return count.clamp(min=1)


def batch_loss(
    parallel: Parallel[PreTrainedModel], batch: Batch, tokens: Tensor, *, micro_batches: int = 1
) -> Tensor:
    """This rank's share of a step's loss: its targets' losses over `tokens`, and of balancing its part of the mean."""
    balance = parallel.options.balance_experts
    more = {"output_router_logits": True} if balance else {}
    output = parallel.model(
        batch.input_ids, attention_mask=batch.attention_mask, position_ids=batch.position_ids, **more
    )
    loss = token_losses(parallel, output.logits, batch.targets) / tokens
    if not balance:
        return loss
    return loss + _balance(parallel, output.router_logits, batch) / micro_batches


def _balance(parallel: Parallel[PreTrainedModel], router_logits: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """This rank's part of the mean of load-balancing losses over data parallel ranks."""
    model, dims = parallel.model, parallel.dims
    assert isinstance(model, CausalLM), "other models are refused"
    assert model.moe is not None, "models without experts are refused"
    mask = None if batch.attention_mask is None else batch.attention_mask.bool()
    if dims.spec.cp > 1:
        # How evenly tokens are spread is a property of whole sequences.
        group, shape = dims.group("cp"), batch.input_ids.shape
        router_logits = tuple(
            parts_to_whole(logits.unflatten(0, shape), 1, group, "summands").flatten(0, 1)
            for logits in router_logits
        )
        mask = None if mask is None else all_gathered(mask, 1, group)
    valid_M = None if mask is None else mask.flatten()
    loss = load_balancing_loss(router_logits, model.moe.count, model.moe.top_k, valid_M)
    return loss * model.moe.balance / dims.size("data")


def token_losses(parallel: Parallel[PreTrainedModel], logits: Tensor, targets: Tensor) -> Tensor:
    """The sum of losses for logits as this rank has them: of the whole vocabulary, or of its own rows."""
    if not parallel.options.loss_parallel or parallel.dims.spec.tp == 1:
        return summed_cross_entropy(logits, targets)
    return vocabulary_cross_entropy(
        logits,
        targets,
        first=parallel.dims.rank("tp") * logits.shape[-1],
        vocabulary=parallel.plan.vocabulary,
        group=parallel.dims.group("tp"),
    )


def _set_sync(parallel: Parallel[PreTrainedModel], *, last: bool) -> None:
    if isinstance(parallel.model, FSDPModule):
        parallel.model.set_requires_gradient_sync(last)
        parallel.model.set_is_last_backward(last)
