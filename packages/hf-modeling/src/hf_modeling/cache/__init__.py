"""Caches: what a model remembers between calls."""

from hf_modeling.cache.dynamic import DynamicCache
from hf_modeling.cache.protocol import Cache
from hf_modeling.cache.states import Append, Layout, Replace, Ring, State

__all__ = ["Append", "Cache", "DynamicCache", "Layout", "Replace", "Ring", "State"]
