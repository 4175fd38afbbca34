"""Immutable, thread-safe tokenizers that load any Hugging Face checkpoint."""
