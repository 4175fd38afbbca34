"""Data, tensor, context, pipeline and expert parallelism for hf-modeling.

This version defines what a layout is: how many ways each axis splits the work, as a value.
"""

from hf_parallel.errors import LaunchError, LayoutError, LayoutMismatchError, Problem
from hf_parallel.mesh import ParallelDims, process_group
from hf_parallel.spec import AXES, Axis, ParallelSpec

__all__ = [
    "AXES",
    "Axis",
    "LaunchError",
    "LayoutError",
    "LayoutMismatchError",
    "ParallelDims",
    "ParallelSpec",
    "Problem",
    "process_group",
]
