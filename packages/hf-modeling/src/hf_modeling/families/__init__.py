"""Families: one file of facts each."""
