"""Data, tensor, context, pipeline and expert parallelism for hf-modeling."""
