"""Do the files of a repository describe one tokenizer? Where they do not, the error names both files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hf_hub_io import JsonValue
from hf_tokenize.errors import ContradictionError
from hf_tokenize.load.files import CONFIG, FAMILY_KEY, TOKENIZER_JSON, SideFiles
from hf_tokenize.special import AddedToken
from hf_tokenize.tokenizer import PreTrainedTokenizer

_KIND_OF_CLASS: Final[Mapping[str, str]] = {
    "AlbertTokenizer": "Unigram",
    "BertTokenizer": "WordPiece",
    "CLIPTokenizer": "BPE",
    "CamembertTokenizer": "Unigram",
    "DistilBertTokenizer": "WordPiece",
    "ElectraTokenizer": "WordPiece",
    "GPT2Tokenizer": "BPE",
    "LlamaTokenizer": "BPE",
    "MPNetTokenizer": "WordPiece",
    "Qwen2Tokenizer": "BPE",
    "T5Tokenizer": "Unigram",
    "WhisperTokenizer": "BPE",
    "XLMRobertaTokenizer": "Unigram",
    "XLNetTokenizer": "Unigram",
}
"""The one subword model that each of these classes can be; other names promise nothing."""
_FIX: Final = "correct one of the files, or load with contradictions='ignore', and tokenizer.json decides"


def check_agreement(
    files: SideFiles, tokenizer: PreTrainedTokenizer, source: str, listed: Mapping[int, AddedToken]
) -> None:
    """Compares class, vocabulary sizes and added tokens across files. Raises ContradictionError."""
    # The family that we note beside a plain class is where options came from; it promises no kind of model.
    name = None if FAMILY_KEY in files.config else files.class_name()
    wanted = _KIND_OF_CLASS.get(name or "")
    if wanted is not None and source == TOKENIZER_JSON and tokenizer.model_kind != wanted:
        raise _contradiction(
            files,
            CONFIG,
            source,
            f"names {name}, a {wanted} tokenizer,",
            f"holds a {tokenizer.model_kind} model",
        )
    for id, token in listed.items():
        if (found := tokenizer.convert_tokens_to_ids(token.content)) != id:
            raise _contradiction(
                files, CONFIG, source, f"gives {token.content!r} id {id}", f"gives it {found}"
            )
    _check_model_size(files, tokenizer, source)
    if source == TOKENIZER_JSON:
        _check_stale(files, tokenizer)


def _check_model_size(files: SideFiles, tokenizer: PreTrainedTokenizer, source: str) -> None:
    size = vocab_size_of(files.model_config)
    if size is not None and len(tokenizer) > size:
        raise _contradiction(
            files,
            "config.json",
            source,
            f"has vocab_size {size}",
            f"has {len(tokenizer)} tokens, so the model has no embedding for some",
        )


def vocab_size_of(config: Mapping[str, JsonValue]) -> int | None:
    """How many token embeddings the model has, where its configuration says so."""
    for part in (config, config.get("text_config"), config.get("llm_config"), config.get("thinker_config")):
        size = part.get("vocab_size") if isinstance(part, Mapping) else None
        if isinstance(size, int):
            return size
    return None


def _check_stale(files: SideFiles, tokenizer: PreTrainedTokenizer) -> None:
    """An older vocabulary next to `tokenizer.json`, or an older `tokenizer.json`: one was not saved again.

    `tokenizer_file: null` in the configuration is what saving from the older file leaves behind, so only then is the
    larger `vocab.json` looked at.
    """
    name, count = "", None
    if tokenizer.model_kind == "WordPiece" and (text := files.repo.find("vocab.txt")) is not None:
        data = text.read_bytes()
        name, count = text.name, data.count(b"\n") + (not data.endswith(b"\n"))
    elif files.config.get("tokenizer_file", "") is None and files.repo.find("vocab.json") is not None:
        name, count = "vocab.json", len(files.repo.read_json("vocab.json"))
    own, everything = tokenizer.vocab_size, len(tokenizer)
    if count is not None and not own <= count <= everything:
        raise _contradiction(
            files,
            name,
            TOKENIZER_JSON,
            f"has {count} tokens",
            f"has {own} and {everything - own} added ones",
        )


def _contradiction(files: SideFiles, first: str, second: str, says: str, other: str) -> ContradictionError:
    return ContradictionError(
        f"{files.where(first)} {says} and {files.where(second)} {other}",
        fix=_FIX,
        files=(files.where(first), files.where(second)),
    )
