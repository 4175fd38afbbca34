"""Data, tensor, context, pipeline and expert parallelism for hf-modeling.

This version defines what a layout is: how many ways each axis splits the work, as a value.
"""

from hf_parallel.spec import AXES, Axis, LayoutError, ParallelSpec

__all__ = ["AXES", "Axis", "LayoutError", "ParallelSpec"]
