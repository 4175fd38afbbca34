"""Which vocabulary file decides, and the engine it makes."""

from __future__ import annotations

from dataclasses import dataclass

from hf_hub_io import JsonValue
from hf_tokenize.engine import Engine, RustEngine
from hf_tokenize.load.files import TOKENIZER_JSON, SideFiles
from hf_tokenize.load.tokenizer_json import add_missing, read_tokenizer_json
from hf_tokenize.special import AddedToken, SpecialTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """What a vocabulary file amounts to: an engine, who plays which role, and sections to keep for saving.

    `target` is a second engine, of models with one vocabulary a side. `files` are those that must be saved
    again because the engine cannot be written as a `tokenizer.json`.
    """

    engine: Engine
    special: SpecialTokens
    source: str
    target: Engine | None = None
    truncation: JsonValue = None
    padding: JsonValue = None
    files: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to make: the roles the small files give, tokens to split at, and the class they name."""

    files: SideFiles
    special: SpecialTokens
    added: tuple[AddedToken, ...]
    class_name: str | None

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where the repository does not have it."""
        path = self.files.repo.find(name)
        return None if path is None else path.read_bytes()


def read_vocabulary(order: Order) -> Vocabulary:
    """The vocabulary of a repository: `tokenizer.json` when there is one, otherwise the first file we know.

    Raises TokenizerFilesError when there is none, TokenizerFileError, ContradictionError, JsonFileError.
    """
    if (data := order.read(TOKENIZER_JSON)) is not None:
        rust = read_tokenizer_json(data, source=order.files.where(TOKENIZER_JSON))
        truncation, padding = rust.truncation, rust.padding
        add_missing(rust, order.added)
        return Vocabulary(
            engine=RustEngine(rust),
            special=order.special,
            source=TOKENIZER_JSON,
            truncation=truncation,
            padding=padding,
        )
    # Everything about other files is loaded with the first of them: most repositories have a tokenizer.json.
    from hf_tokenize.load.other_files import read_other_files

    return read_other_files(order)
