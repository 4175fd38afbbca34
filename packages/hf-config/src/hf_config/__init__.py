"""Typed configurations of Hugging Face checkpoints."""
