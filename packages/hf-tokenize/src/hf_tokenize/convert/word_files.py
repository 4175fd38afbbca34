"""Vocabularies of words and word parts: `vocab.txt` (WordPiece), and `vocab.json` without merges."""

from __future__ import annotations

from collections.abc import Mapping

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from hf_hub_io import JsonValue
from hf_tokenize.errors import TokenizerFileError, VocabularyHoleError
from hf_tokenize.families import TokenizerFamily
from hf_tokenize.special import SpecialTokens


def parse_vocab_txt(data: bytes, *, source: str) -> dict[str, int]:
    """Tokens by line number. Raises TokenizerFileError for a token twice, VocabularyHoleError for an empty
    line.
    """
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TokenizerFileError(
            f"line {line} of {source} is not UTF-8: byte {error.start} is {data[error.start]:#04x}",
            fix="fetch it again",
            file=source,
        ) from None
    if lines and not lines[-1]:
        lines.pop()
    vocab: dict[str, int] = {}
    for id, text in enumerate(lines):
        token = text.rstrip("\r")
        if not token:
            raise VocabularyHoleError(
                f"line {id + 1} of {source} is empty, so no token has id {id}",
                fix="fetch it again",
                file=source,
            )
        if token in vocab:
            raise TokenizerFileError(
                f"{source} has {token!r} on lines {vocab[token] + 1} and {id + 1}",
                fix="fetch it again",
                file=source,
            )
        vocab[token] = id
    return vocab


def build_wordpiece(
    vocab: dict[str, int], family: TokenizerFamily, special: SpecialTokens, config: Mapping[str, JsonValue]
) -> tokenizers.Tokenizer:
    """The engine of a WordPiece vocabulary, with the options that BERT configurations have."""
    lower = config.get("do_lower_case", family.lower_case) is True
    accents = config.get("strip_accents")
    rust = tokenizers.Tokenizer(models.WordPiece(vocab=vocab, unk_token=special.unk_token or "[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=config.get("clean_text") is not False,
        handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
        strip_accents=accents if isinstance(accents, bool) else None,
        lowercase=lower,
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##")
    return rust


def build_letters(
    vocab: dict[str, int], special: SpecialTokens, config: Mapping[str, JsonValue]
) -> tokenizers.Tokenizer:
    """The engine of a speech model that spells text letter by letter, with a token between words (`|`)."""
    between = config.get("word_delimiter_token", "|")
    delimiter = between if isinstance(between, str) else "|"
    rust = tokenizers.Tokenizer(models.WordLevel(vocab=vocab, unk_token=special.unk_token or "<unk>"))
    rust.normalizer = normalizers.Replace(" ", delimiter)
    rust.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    letters = decoders.CTC(
        pad_token=special.pad_token or "<pad>", word_delimiter_token=delimiter, cleanup=True
    )
    trimmed = decoders.Replace(Regex(r"\A\s+|\s+\z"), "")
    rust.decoder = decoders.Sequence([letters, decoders.Fuse(), trimmed])
    # What is spelt with several characters is one token of the text, and takes the spaces around it along.
    roles = special.all()
    for token in sorted(vocab, key=vocab.__getitem__):
        if len(token) > 1:
            whole = AddedToken(token, lstrip=True, rstrip=True, normalized=False, special=token in roles)
            rust.add_tokens([whole])
    return rust


def build_words(vocab: dict[str, int], special: SpecialTokens) -> tokenizers.Tokenizer:
    """The engine of a vocabulary of whole words between white space."""
    rust = tokenizers.Tokenizer(models.WordLevel(vocab=vocab, unk_token=special.unk_token or "<unk>"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return rust
