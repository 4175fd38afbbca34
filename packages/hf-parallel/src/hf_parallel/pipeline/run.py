"""Running a pipeline: torch's schedules over this rank's stages, one object for each shape of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleLoopedBFS,
    ScheduleZBVZeroBubble,
)
from torch.distributed.pipelining.schedules import (
    PipelineScheduleMulti,
    PipelineScheduleSingle,
    ScheduleDualPipeV,
)

from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.options import Schedule
from hf_parallel.pipeline.split import Stage

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

SINGLE: Mapping[Schedule, type[PipelineScheduleSingle]] = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
MULTI: Mapping[Schedule, type[PipelineScheduleMulti]] = {
    "interleaved": ScheduleInterleaved1F1B,
    "looped_bfs": ScheduleLoopedBFS,
    "interleaved_zb": ScheduleInterleavedZeroBubble,
    "zbv": ScheduleZBVZeroBubble,
    "dualpipe_v": ScheduleDualPipeV,
}

Loss = Callable[[Tensor, Tensor], Tensor]
"""From a micro-batch's logits and targets to the sum of its losses."""


@final
@dataclass(kw_only=True)
class Pipeline:
    """This rank's stages, joined to the others'.

    stages, modules: what this rank holds. width: of hidden states; sequence_ways: by how many ranks the stream
    between stages is cut. scale: what each micro-batch's loss is divided by, set for each step.
    """

    stages: Sequence[Stage]
    modules: Sequence[nn.Module]
    group: ProcessGroup
    schedule: Schedule
    width: int
    logits: int
    dtype: torch.dtype
    sequence_ways: int
    device: torch.device
    scale: Tensor = field(default_factory=lambda: torch.ones(()))
    _made: dict[tuple[int, ...], PipelineScheduleSingle | PipelineScheduleMulti] = field(default_factory=dict)

    def step(
        self,
        input_ids: Tensor,
        targets: Tensor,
        named: Mapping[str, Tensor],
        microbatches: int,
        loss: Loss,
        *,
        backward: bool = True,
    ) -> Tensor:
        """Forward and backward passes of a batch; the sum of its losses where the last stage is, else zero.

        backward: False runs the forward passes alone.

        Raises:
            LayoutMismatchError: rows that do not fall into equal micro-batches.
        """
        rows = input_ids.shape[0]
        if rows % microbatches:
            raise LayoutMismatchError(
                f"{rows} rows do not fall into {microbatches} micro-batches",
                [
                    Problem(
                        where="the batch",
                        rule="stages wait for micro-batches of one size",
                        instead=f"make it a multiple of {microbatches}",
                    )
                ],
                fix=f"give a multiple of {microbatches} rows, or another number of microbatches",
            )
        running = self._schedule((rows // microbatches, input_ids.shape[1], microbatches), loss)
        losses: list[Tensor] = []
        # Every stage is given the named tensors; ids and targets go to the stages that read them.
        given: dict[str, Any] = dict(named)
        if any(stage.is_last for stage in self.stages):
            given |= {"target": targets, "losses": losses}
        ids = (input_ids,) if any(stage.is_first for stage in self.stages) else ()
        run = running.step if backward else running.eval
        run(*ids, return_outputs=False, **given)
        if not losses:
            return torch.zeros((), device=self.device)
        return torch.stack([each.detach() for each in losses]).sum()

    def _schedule(
        self, shape: tuple[int, int, int], loss: Loss
    ) -> PipelineScheduleSingle | PipelineScheduleMulti:
        if shape not in self._made:
            rows, tokens, microbatches = shape
            stages = [self._stage(at, rows, tokens) for at in range(len(self.stages))]

            def scaled(logits: Tensor, targets: Tensor) -> Tensor:
                return loss(logits, targets) / self.scale

            if self.schedule in SINGLE:
                self._made[shape] = SINGLE[self.schedule](
                    stages[0], n_microbatches=microbatches, loss_fn=scaled, scale_grads=False
                )
            else:
                self._made[shape] = MULTI[self.schedule](
                    list(stages), n_microbatches=microbatches, loss_fn=scaled, scale_grads=False
                )
        return self._made[shape]

    def _stage(self, at: int, rows: int, tokens: int) -> PipelineStage:
        """With shapes given, stages need not ask each other for them."""
        stage = self.stages[at]
        # They must ask for gradients, or none are sent back.
        hidden = torch.empty(
            rows,
            tokens // self.sequence_ways,
            self.width,
            dtype=self.dtype,
            device="meta",
            requires_grad=True,
        )
        ids = torch.empty(rows, tokens, dtype=torch.long, device="meta")
        logits = torch.empty(rows, tokens, self.logits, dtype=self.dtype, device="meta", requires_grad=True)
        return PipelineStage(
            self.modules[at],
            stage.index,
            stage.count,
            self.device,
            input_args=(ids if stage.is_first else hidden,),
            output_args=(logits if stage.is_last else hidden,),
            group=self.group,
        )
