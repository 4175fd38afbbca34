"""Checkpoint repositories as typed files and bytes: resolve, validate, map, write atomically."""
