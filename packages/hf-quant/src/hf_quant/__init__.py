"""Quantization formats for hf-modeling."""
