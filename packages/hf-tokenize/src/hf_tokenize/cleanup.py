"""The space rules of word-based tokenizers."""

from __future__ import annotations

from typing import Final

_RULES: Final = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def clean_up_spaces(text: str) -> str:
    """`text` without the spaces before punctuation and English contractions."""
    for old, new in _RULES:
        text = text.replace(old, new)
    return text
