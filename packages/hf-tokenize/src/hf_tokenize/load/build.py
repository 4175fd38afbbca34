"""Puts a tokenizer together from the files of a repository."""

from __future__ import annotations

from typing import Literal, TypeAlias

from hf_hub_io import Repo
from hf_tokenize.families import CLASS_OF_MODEL
from hf_tokenize.load.agree import check_agreement
from hf_tokenize.load.files import SideFiles, read_side_files
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
    tokenizer = PreTrainedTokenizer(vocabulary.engine, settings)
    if contradictions == "raise":
        check_agreement(files, tokenizer, vocabulary.source, listed)
    return tokenizer


def class_of(files: SideFiles) -> str | None:
    """The tokenizer class that the configuration names, or that goes with the model type in `config.json`."""
    name = files.class_name()
    if name is not None and name not in ("PreTrainedTokenizer", "TokenizersBackend"):
        return name
    model_type = files.model_config.get("model_type")
    return CLASS_OF_MODEL.get(model_type) if isinstance(model_type, str) else None
