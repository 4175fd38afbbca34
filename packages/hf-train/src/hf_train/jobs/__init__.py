"""Training runs described by files: what `hft train` does."""

from hf_train.jobs.job import TASKS, DataSpec, Job, JobError, TaskName, job_of, read_job
from hf_train.jobs.run import plan_job, run_job

__all__ = ["TASKS", "DataSpec", "Job", "JobError", "TaskName", "job_of", "plan_job", "read_job", "run_job"]
