"""Puts a tokenizer together: which vocabulary file decides, and what the small files add to it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import tokenizers

from hf_hub_io import Repo
from hf_tokenize.engine import RustEngine
from hf_tokenize.errors import TokenizerFilesError
from hf_tokenize.load.files import TOKENIZER_JSON, SideFiles, read_side_files
from hf_tokenize.load.roles import read_added_tokens, read_roles
from hf_tokenize.load.settings import adopt_sections, read_settings
from hf_tokenize.load.tokenizer_json import add_missing, read_tokenizer_json
from hf_tokenize.settings import TokenizerOptions, apply_options
from hf_tokenize.special import AddedToken
from hf_tokenize.tokenizer import PreTrainedTokenizer

Contradictions: TypeAlias = Literal["raise", "ignore"]


def load_tokenizer(
    repo: Repo, options: TokenizerOptions, *, contradictions: Contradictions = "raise"
) -> PreTrainedTokenizer:
    """The tokenizer in `repo`. Raises as `AutoTokenizer.from_pretrained`."""
    files = read_side_files(repo)
    rust = _read_vocabulary(files)
    special, tokens = read_roles(files)
    settings = read_settings(files, special, class_name=files.class_name())
    settings = adopt_sections(settings, rust.truncation, rust.padding, given=files.config)
    settings = apply_options(settings, options)
    wanted = [token for _, token in sorted(read_added_tokens(files).items())]
    wanted += [tokens.get(content, AddedToken(content=content)) for content in settings.special.all()]
    add_missing(rust, wanted)
    return PreTrainedTokenizer(RustEngine(rust), settings)


def _read_vocabulary(files: SideFiles) -> tokenizers.Tokenizer:
    path = files.repo.find(TOKENIZER_JSON)
    if path is not None:
        return read_tokenizer_json(path.read_bytes(), source=files.where(TOKENIZER_JSON))
    raise TokenizerFilesError(f"{files.repo.id} has no tokenizer files", fix="check the name of the folder")
