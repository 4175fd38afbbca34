"""Vocabulary files that are not `tokenizer.json`, turned into what one would have said."""
