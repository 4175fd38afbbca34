"""Layers: one class per mechanism, chosen and wired by `hf_modeling.build`."""
