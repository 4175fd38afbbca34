"""Data, tensor, context, pipeline and expert parallelism for hf-modeling.

A `ParallelSpec` says how many ways each axis splits the work, `ParallelDims` puts it on the processes there are,
`parallelize` or `load_parallel` gives each its share of a model, and `train_step` runs a step on all of them.
`save_checkpoint` writes what a run needs to go on, `load_checkpoint` goes on from it on any layout.
"""

from hf_parallel.checkpoint import BackgroundSaver, export_checkpoint, load_checkpoint, save_checkpoint
from hf_parallel.errors import (
    CheckpointDamagedError,
    CheckpointMismatchError,
    LaunchError,
    LayoutError,
    LayoutMismatchError,
    Problem,
    RanksDisagreeError,
)
from hf_parallel.gradients import clip_gradients, global_norm
from hf_parallel.load import load_parallel
from hf_parallel.mesh import ParallelDims, process_group, seed_ranks
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import Parallel, parallelize
from hf_parallel.plan import Plan, make_plan
from hf_parallel.record import recording
from hf_parallel.sampler import ShardedSampler
from hf_parallel.save import save_parallel
from hf_parallel.spec import AXES, Axis, ParallelSpec
from hf_parallel.step import Batch, StepResult, evaluate_step, train_step
from hf_parallel.summary import RunSummary, summarize

__all__ = [
    "AXES",
    "Axis",
    "BackgroundSaver",
    "Batch",
    "CheckpointDamagedError",
    "CheckpointMismatchError",
    "LaunchError",
    "LayoutError",
    "LayoutMismatchError",
    "Parallel",
    "ParallelDims",
    "ParallelOptions",
    "ParallelSpec",
    "Plan",
    "Problem",
    "RanksDisagreeError",
    "RunSummary",
    "ShardedSampler",
    "StepResult",
    "clip_gradients",
    "evaluate_step",
    "export_checkpoint",
    "global_norm",
    "load_checkpoint",
    "load_parallel",
    "make_plan",
    "parallelize",
    "process_group",
    "recording",
    "save_checkpoint",
    "save_parallel",
    "seed_ranks",
    "summarize",
    "train_step",
]
