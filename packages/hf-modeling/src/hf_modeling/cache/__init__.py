"""Caches: what a model remembers between calls."""

from hf_modeling.cache.dynamic import DynamicCache
from hf_modeling.cache.encoder_decoder import EncoderDecoderCache
from hf_modeling.cache.protocol import Cache
from hf_modeling.cache.states import Append, Layout, Once, Replace, Ring, State

__all__ = [
    "Append",
    "Cache",
    "DynamicCache",
    "EncoderDecoderCache",
    "Layout",
    "Once",
    "Replace",
    "Ring",
    "State",
]
