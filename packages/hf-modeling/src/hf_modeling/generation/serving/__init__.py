"""Continuous batching: many requests, one model, one paged cache."""
