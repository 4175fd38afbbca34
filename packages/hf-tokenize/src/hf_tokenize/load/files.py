"""The small files around a vocabulary, read once: configuration, special tokens, added tokens, chat
templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hf_hub_io import JsonValue, Repo
from hf_tokenize.errors import TokenizerFileError
from hf_tokenize.special import AddedToken

CONFIG = "tokenizer_config.json"
SPECIAL_MAP = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"
TOKENIZER_JSON = "tokenizer.json"
TEMPLATE = "chat_template.jinja"
TEMPLATE_JSON = "chat_template.json"
TEMPLATE_FOLDER = "additional_chat_templates"
# Keys of tokenizer_config.json that this package writes: the tokenizer's fingerprint, the hash of the tokenizer.json
# it was taken of, and the family's class where the class itself says only "whatever tokenizer.json says".
FINGERPRINT_KEY = "fingerprint"
FILE_HASH_KEY = "fingerprint_of_file"
FAMILY_KEY = "family_class"


@dataclass(frozen=True, kw_only=True, slots=True)
class SideFiles:
    """The parsed small files of one repository; empty mappings for those it does not have.

    `model_config` is the model's own `config.json`, which knows the size of the embedding.
    """

    repo: Repo
    config: Mapping[str, JsonValue]
    special_map: Mapping[str, JsonValue]
    added_tokens: Mapping[str, JsonValue]
    templates: Mapping[str, str]
    model_config: Mapping[str, JsonValue]

    def where(self, name: str) -> str:
        """What errors call file `name`."""
        return f"{self.repo.id}/{name}"

    def class_name(self) -> str | None:
        """The tokenizer class the configuration names, in the spelling without `Fast`."""
        name = self.config.get(FAMILY_KEY) or self.config.get("tokenizer_class")
        return name.removesuffix("Fast") if isinstance(name, str) else None


def read_side_files(repo: Repo) -> SideFiles:
    """The small files of `repo`. Raises JsonFileError for one that is not JSON."""
    config = _read(repo, CONFIG)
    return SideFiles(
        repo=repo,
        config=config,
        special_map=_read(repo, SPECIAL_MAP),
        added_tokens=_read(repo, ADDED_TOKENS),
        templates=_templates(repo, config),
        model_config=_read(repo, "config.json"),
    )


def _read(repo: Repo, name: str) -> dict[str, JsonValue]:
    return {} if repo.find(name) is None else repo.read_json(name)


def _templates(repo: Repo, config: Mapping[str, JsonValue]) -> dict[str, str]:
    """Chat templates by name: those of the configuration, overruled by `chat_template.jinja` files."""
    given = config.get("chat_template")
    templates: dict[str, str] = {}
    if given is None and repo.find(TEMPLATE_JSON) is not None:
        given = repo.read_json(TEMPLATE_JSON).get("chat_template")
    if isinstance(given, str):
        templates["default"] = given
    elif isinstance(given, list):
        for entry in given:
            if not isinstance(entry, dict):
                raise _not_a_template(repo, entry)
            name, template = entry.get("name"), entry.get("template")
            if not isinstance(name, str) or not isinstance(template, str):
                raise _not_a_template(repo, entry)
            templates[name] = template
    elif given is not None:
        raise _not_a_template(repo, given)
    if (path := repo.find(TEMPLATE)) is not None:
        templates["default"] = path.read_text("utf-8")
    for name in repo.list():
        if name.startswith(f"{TEMPLATE_FOLDER}/") and name.endswith(".jinja"):
            short = name.removeprefix(f"{TEMPLATE_FOLDER}/").removesuffix(".jinja")
            templates[short] = repo.file(name).read_text("utf-8")
    return templates


def _not_a_template(repo: Repo, value: JsonValue) -> TokenizerFileError:
    return TokenizerFileError(
        f"chat_template in {repo.id}/{CONFIG} is {str(value)[:60]!r}",
        fix="it must be a template, or a list of {'name': ..., 'template': ...}",
        file=f"{repo.id}/{CONFIG}",
    )


def parse_token(value: JsonValue, *, special: bool, where: str) -> AddedToken:
    """A token written as a string or as an object with its flags. Raises TokenizerFileError."""
    if isinstance(value, str):
        return AddedToken(content=value, special=special, normalized=not special)
    if isinstance(value, dict):
        content = value.get("content")
        flags = {key: value.get(key, default) for key, default in _FLAGS.items()}
        if isinstance(content, str) and all(isinstance(flag, bool) for flag in flags.values()):
            return AddedToken(
                content=content,
                single_word=bool(flags["single_word"]),
                lstrip=bool(flags["lstrip"]),
                rstrip=bool(flags["rstrip"]),
                normalized=bool(value.get("normalized", not special)),
                special=bool(value.get("special", special)),
            )
    raise TokenizerFileError(
        f"{where} holds {str(value)[:60]!r}, which is not a token",
        fix="a token is a string, or an object with content, lstrip, rstrip, single_word, special",
        file=where,
    )


_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False}
