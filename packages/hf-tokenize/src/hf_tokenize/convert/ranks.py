"""Byte-pair vocabularies given as ranks of byte strings: `.tiktoken` files and `tekken.json`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, processors

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.engine import to_rust
from hf_tokenize.errors import TokenizerFileError, VocabularyHoleError
from hf_tokenize.patterns import CL100K, byte_alphabet
from hf_tokenize.special import AddedToken

_LINE: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\s*")


def spell(token: bytes) -> str:
    """A byte string in the spelling of byte-level vocabularies."""
    alphabet = byte_alphabet()
    return "".join([alphabet[byte] for byte in token])


def is_tiktoken(data: bytes) -> bool:
    """Whether a file is a list of ranks; some are called `tokenizer.model`, like SentencePiece models."""
    return _LINE.match(data.partition(b"\n")[0]) is not None


def parse_tiktoken(data: bytes, *, source: str) -> dict[bytes, int]:
    """Byte strings and their ranks. Raises TokenizerFileError, VocabularyHoleError."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise TokenizerFileError(
                f"line {number} of {source} is {line[:40]!r}, not a base64 token and its rank",
                fix=f"delete {source} and fetch it again",
                file=source,
            ) from None
    _check_dense(ranks, source)
    return ranks


def _check_dense(ranks: Mapping[bytes, int], source: str) -> None:
    seen = set(ranks.values())
    missing = next((rank for rank in range(len(ranks)) if rank not in seen), None)
    if missing is not None:
        raise VocabularyHoleError(
            f"{source} has {len(ranks)} tokens and none of rank {missing}",
            fix=f"delete {source} and fetch it again",
            file=source,
        )


def build_ranks(
    ranks: Mapping[bytes, int],
    *,
    pattern: str,
    special: Iterable[AddedToken],
    special_first: bool = False,
    source: str = "",
) -> tokenizers.Tokenizer:
    """The engine of these ranks. Special tokens are numbered after them, or before with `special_first`."""
    tokens = list(special)
    offset = len(tokens) if special_first else 0
    vocab = {spell(token): rank + offset for token, rank in ranks.items()}
    if len(vocab) != len(ranks):
        raise TokenizerFileError(f"{source} names a token twice", fix="fetch it again", file=source)
    model_vocab = dict(vocab)
    if special_first:
        model_vocab |= {token.content: id for id, token in enumerate(tokens)}
    model = models.BPE(vocab=model_vocab, merges=_merges(vocab, offset), ignore_merges=True)
    rust = tokenizers.Tokenizer(model)
    try:
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    except Exception as error:  # noqa: BLE001 - the engine raises nothing narrower
        raise TokenizerFileError(
            f"the pattern of {source} is not a regular expression: {error}",
            fix=f"correct {source}",
            file=source,
        ) from None
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    rust.decoder = decoders.ByteLevel()
    rust.post_processor = processors.ByteLevel(trim_offsets=False)
    rust.add_special_tokens([to_rust(token) for token in tokens])
    return rust


def _merges(vocab: Mapping[str, int], offset: int) -> list[tuple[str, str]]:
    """Every split of a token into two tokens, by rank: byte pair encoding over ranks, as a list of merges."""
    merges: list[tuple[str, str]] = []
    for text in sorted(vocab, key=vocab.__getitem__):
        if len(text) > 1:
            found = [
                (left, right)
                for i in range(1, len(text))
                if (left := text[:i]) in vocab and (right := text[i:]) in vocab
            ]
            if len(found) > 1:
                found.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
            merges += found
    return merges


_TEKKEN_NAMES: Final = """
<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS]
[TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT]
[TOOL_CONTENT]
"""
_TEKKEN_SPECIAL: Final = tuple(_TEKKEN_NAMES.split())
"""The special tokens of files from before they were listed in the file."""


def build_tekken(data: bytes, *, source: str) -> tokenizers.Tokenizer:
    """The engine of a `tekken.json`. Raises TokenizerFileError, VocabularyHoleError, JsonFileError."""
    document = parse_json_object(data, source=source)
    config, entries = document.get("config"), document.get("vocab")
    if not isinstance(config, dict) or not isinstance(entries, list):
        raise TokenizerFileError(
            f"{source} has no config and vocab, so it is not a tekken file", fix="fetch it again", file=source
        )
    special = _tekken_special(document, config, source)
    size = config.get("default_vocab_size")
    wanted = len(entries) if not isinstance(size, int) else size - len(special)
    ranks: dict[bytes, int] = {}
    for entry in entries[:wanted]:
        token = entry.get("token_bytes") if isinstance(entry, dict) else None
        rank = entry.get("rank") if isinstance(entry, dict) else None
        if not isinstance(token, str) or not isinstance(rank, int):
            raise TokenizerFileError(
                f"{source} has the vocabulary entry {str(entry)[:60]!r}, without token_bytes and rank",
                fix="fetch it again",
                file=source,
            )
        ranks[base64.b64decode(token)] = rank
    _check_dense(ranks, source)
    pattern = config.get("pattern")
    tokens = [AddedToken(content=token) for token in special]
    return build_ranks(
        ranks,
        pattern=pattern if isinstance(pattern, str) else CL100K,
        special=tokens,
        special_first=True,
        source=source,
    )


def _tekken_special(
    document: Mapping[str, JsonValue], config: Mapping[str, JsonValue], source: str
) -> list[str]:
    listed = document.get("special_tokens")
    by_rank: dict[int, str] = dict(enumerate(_TEKKEN_SPECIAL))
    if isinstance(listed, list):
        by_rank = {}
        for entry in listed:
            rank = entry.get("rank") if isinstance(entry, dict) else None
            token = entry.get("token_str") if isinstance(entry, dict) else None
            if not isinstance(rank, int) or not isinstance(token, str):
                raise TokenizerFileError(
                    f"{source} has the special token {str(entry)[:60]!r}, without rank and token_str",
                    fix="fetch it again",
                    file=source,
                )
            by_rank[rank] = token
    count = config.get("default_num_special_tokens")
    total = count if isinstance(count, int) else len(by_rank)
    return [by_rank.get(rank, f"<SPECIAL_{rank}>") for rank in range(total)]
