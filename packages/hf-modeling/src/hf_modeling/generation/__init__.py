"""Generation: tokens out of a causal language model."""
