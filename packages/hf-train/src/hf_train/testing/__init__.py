"""Small models, data and arguments for tests of training, ours and yours."""

from hf_train.testing.material import (
    Rows,
    Stream,
    quiet,
    same_weights,
    tiny_classifier,
    tiny_llama,
    token_rows,
    weights_of,
)

__all__ = [
    "Rows",
    "Stream",
    "quiet",
    "same_weights",
    "tiny_classifier",
    "tiny_llama",
    "token_rows",
    "weights_of",
]
