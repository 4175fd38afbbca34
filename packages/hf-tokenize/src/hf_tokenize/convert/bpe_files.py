"""`vocab.json` with `merges.txt`: byte-level vocabularies, and word-ending ones such as CLIP's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.errors import TokenizerFileError
from hf_tokenize.families import TokenizerFamily
from hf_tokenize.patterns import QWEN2
from hf_tokenize.special import SpecialTokens

_CLIP_WORDS: Final = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def parse_vocab_json(data: bytes, *, source: str) -> dict[str, int]:
    """Tokens and ids. Raises JsonFileError, and TokenizerFileError for an id that is none or given twice."""
    found: dict[str, int] = {}
    owner: dict[int, str] = {}
    for token, id in parse_json_object(data, source=source).items():
        if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id < 2**31:
            raise TokenizerFileError(
                f"{source} gives {token!r} the id {id!r}", fix="fetch it again", file=source
            )
        if id in owner:
            raise TokenizerFileError(
                f"{source} gives id {id} to {owner[id]!r} and to {token!r}", fix="fetch it again", file=source
            )
        found[token] = id
        owner[id] = token
    return found


def parse_merges(data: bytes, vocab: Mapping[str, int], *, source: str) -> list[tuple[str, str]]:
    """The merges of `merges.txt`, best first. Raises TokenizerFileError for one that `vocab` cannot
    express.
    """
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(_text(data, source).split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise TokenizerFileError(
                f"line {number} of {source} is {line[:60]!r}, not two tokens",
                fix="fetch it again",
                file=source,
            )
        for token in (parts[0], parts[1], parts[0] + parts[1]):
            if token not in vocab:
                raise TokenizerFileError(
                    f"line {number} of {source}, {line!r}, needs {token!r}, which has no id",
                    fix="fetch both files again from the same revision",
                    file=source,
                )
        merges.append((parts[0], parts[1]))
    return merges


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerFileError(
            f"{source} is not UTF-8: byte {error.start} is {data[error.start]:#04x}",
            fix="fetch it again",
            file=source,
        ) from None


def build_bpe(
    vocab: dict[str, int],
    merges: list[tuple[str, str]],
    family: TokenizerFamily,
    special: SpecialTokens,
    config: Mapping[str, JsonValue],
    *,
    class_name: str | None,
) -> tokenizers.Tokenizer:
    """The engine of a vocabulary and its merges, split and spelled as its class does."""
    word_end = "</w>" if any(token.endswith("</w>") for token in vocab) else ""
    unk = special.unk_token if word_end and special.unk_token in vocab else None
    model = models.BPE(
        vocab=vocab,
        merges=merges,
        unk_token=unk,
        continuing_subword_prefix="",
        end_of_word_suffix=word_end,
        fuse_unk=False,
    )
    rust = tokenizers.Tokenizer(model)
    prefix = config.get("add_prefix_space", family.add_prefix_space) is True
    if class_name == "CLIPTokenizer":
        rust.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        rust.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        rust.decoder = decoders.Sequence(
            [
                decoders.ByteLevel(),
                decoders.Replace(word_end, " "),
                decoders.Replace(Regex(r"\A\s+|\s+\z"), ""),
            ]
        )
    elif word_end:
        rust.normalizer = normalizers.BertNormalizer(lowercase=config.get("do_lower_case") is not False)
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        rust.decoder = decoders.BPEDecoder(suffix=word_end)
    else:
        if class_name == "Qwen2Tokenizer":
            rust.normalizer = normalizers.NFC()
            rust.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
                ]
            )
        else:
            rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        rust.decoder = decoders.ByteLevel()
        rust.post_processor = processors.ByteLevel(
            add_prefix_space=prefix, trim_offsets=config.get("trim_offsets", family.trim_offsets) is True
        )
    return rust
