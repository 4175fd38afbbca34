"""What a run is, in a few lines: its layout, its batch, and what each rank holds. For rank 0 to print once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from hf_modeling.model import PreTrainedModel
from hf_parallel.gradients import local
from hf_parallel.parallel import Parallel


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run's sizes. `str` of it is what to print.

    rows, tokens: of one optimizer step, all ranks together. parameters: of the whole model; own_parameters and
    own_bytes: of this rank, padding included. trained_bytes: of this rank's weights, gradients and the two
    moments of AdamW, all of the weights' element type.
    """

    layout: str
    processes: int
    rows: int
    tokens: int
    parameters: int
    own_parameters: int
    own_bytes: int
    trained_bytes: int

    def __str__(self) -> str:
        return "\n".join(
            (
                f"layout      {self.layout or 'one process'} on {self.processes} processes",
                f"batch       {self.rows:,} rows, {self.tokens:,} tokens a step",
                f"model       {self.parameters:,} parameters",
                f"each rank   {self.own_parameters:,} parameters, {self.own_bytes / 1e6:,.1f} MB; "
                f"{self.trained_bytes / 1e6:,.1f} MB with gradients and AdamW",
            )
        )


def summarize(
    parallel: Parallel[PreTrainedModel], *, rows_per_rank: int, tokens_per_row: int, accumulate: int = 1
) -> RunSummary:
    """The sizes of a run in which each data parallel rank reads `rows_per_rank` rows `accumulate` times a step."""
    plan, dims = parallel.plan, parallel.dims
    whole = 0
    for name, shape in plan.shapes.items():
        if name not in plan.ties:
            size = 1
            for rows in shape:
                size *= rows
            whole += size
    own = [local(parameter) for parameter in parallel.parameters()]
    held = sum(tensor.nbytes for tensor in own)
    rows_per_step = rows_per_rank * dims.batch_ways * accumulate
    return RunSummary(
        layout=str(dims.spec),
        processes=dims.spec.world_size,
        rows=rows_per_step,
        tokens=rows_per_step * tokens_per_row,
        parameters=whole,
        own_parameters=sum(tensor.numel() for tensor in own),
        own_bytes=held,
        trained_bytes=4 * held,
    )
