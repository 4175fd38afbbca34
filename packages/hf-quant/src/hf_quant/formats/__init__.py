"""Bytes to numbers and back, one module for each way of packing: pure functions, no modules, no settings."""
