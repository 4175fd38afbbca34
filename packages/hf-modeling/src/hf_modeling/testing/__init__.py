"""Helpers for tests of code that handles models; importing them needs nothing that hf-modeling does not."""
