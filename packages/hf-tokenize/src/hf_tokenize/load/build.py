"""Puts a tokenizer together from the files of a repository."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

from hf_hub_io import Repo
from hf_tokenize.fingerprint import check_fingerprint, short
from hf_tokenize.languages import RULES
from hf_tokenize.load.agree import check_agreement
from hf_tokenize.load.classes import CLASS_OF_MODEL
from hf_tokenize.load.files import (
    CONFIG,
    FILE_HASH_KEY,
    FINGERPRINT_KEY,
    TOKENIZER_JSON,
    SideFiles,
    read_side_files,
)
from hf_tokenize.load.roles import read_added_tokens, read_roles
from hf_tokenize.load.settings import adopt_sections, read_settings
from hf_tokenize.load.vocabulary import Order, read_vocabulary
from hf_tokenize.settings import TokenizerOptions, apply_options
from hf_tokenize.special import AddedToken
from hf_tokenize.tokenizer import PreTrainedTokenizer

Contradictions: TypeAlias = Literal["raise", "ignore"]


def load_tokenizer(
    repo: Repo, options: TokenizerOptions, *, contradictions: Contradictions = "raise"
) -> PreTrainedTokenizer:
    """The tokenizer in `repo`. Raises as `AutoTokenizer.from_pretrained`."""
    files = read_side_files(repo)
    special, tokens = read_roles(files)
    class_name = class_of(files)
    settings = apply_options(read_settings(files, special, class_name=class_name), options)
    listed = read_added_tokens(files)
    added = [token for _, token in sorted(listed.items())]
    added += [tokens.get(content, AddedToken(content=content)) for content in settings.special.all()]
    order = Order(files=files, special=settings.special, added=tuple(added), class_name=class_name)
    vocabulary = read_vocabulary(order)
    settings = adopt_sections(settings, vocabulary, given=files.config)
    rule = RULES.get(class_name or "")
    if settings.source_language is None and vocabulary.source != TOKENIZER_JSON and rule is not None:
        settings = replace(settings, source_language=rule.default)
    tokenizer = PreTrainedTokenizer(vocabulary.engine, settings, target=vocabulary.target)
    _check_record(files, tokenizer)
    if contradictions == "raise":
        check_agreement(files, tokenizer, vocabulary.source, listed)
    return tokenizer


def _check_record(files: SideFiles, tokenizer: PreTrainedTokenizer) -> None:
    """Compares with the fingerprint that saving recorded, unless the file is byte for byte the one saved."""
    recorded = files.config.get(FINGERPRINT_KEY)
    if not isinstance(recorded, str):
        return
    path = files.repo.find(TOKENIZER_JSON)
    if path is not None and files.config.get(FILE_HASH_KEY) == short([path.read_bytes()]):
        return
    check_fingerprint(tokenizer.fingerprint(), recorded, where=files.where(CONFIG))


def class_of(files: SideFiles) -> str | None:
    """The tokenizer class that the configuration names, or that goes with the model type in `config.json`."""
    name = files.class_name()
    if name is not None and name not in ("PreTrainedTokenizer", "TokenizersBackend"):
        return name
    model_type = files.model_config.get("model_type")
    return CLASS_OF_MODEL.get(model_type) if isinstance(model_type, str) else None
