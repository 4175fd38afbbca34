"""Typed task pipelines over Hugging Face checkpoints."""
