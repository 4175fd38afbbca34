"""Heads: what is put on top of a skeleton to make a model for one task."""
