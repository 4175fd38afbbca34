"""Pipeline parallelism: stages of layers on ranks of `pp`, and the schedules that keep them busy."""

from hf_parallel.pipeline.split import ZERO_BUBBLE, Stage, make_stage, pipeline_problems, stages_of_rank

__all__ = ["ZERO_BUBBLE", "Stage", "make_stage", "pipeline_problems", "stages_of_rank"]
