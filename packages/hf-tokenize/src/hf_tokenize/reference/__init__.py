"""Subword tokenization written to be read: BPE, WordPiece and Unigram in plain Python.

Nothing in the package uses this. It says in a few lines each what the engine does in many, and the tests hold the two
against each other on random vocabularies and texts.
"""

from hf_tokenize.reference.bpe import Bpe
from hf_tokenize.reference.unigram import Unigram
from hf_tokenize.reference.wordpiece import WordPiece

__all__ = ["Bpe", "Unigram", "WordPiece"]
