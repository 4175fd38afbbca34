"""Which token plays which role, from every spelling that configuration files have had."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hf_hub_io import JsonValue
from hf_tokenize.errors import TokenizerFileError
from hf_tokenize.load.files import CONFIG, SPECIAL_MAP, SideFiles, parse_token
from hf_tokenize.special import ROLES, AddedToken, SpecialTokens

_EXTRA_KEYS = ("extra_special_tokens", "additional_special_tokens")


def read_roles(files: SideFiles) -> tuple[SpecialTokens, dict[str, AddedToken]]:
    """The roles, and for each token involved how text is split at it.

    Configurations that list `added_tokens_decoder` are complete; older ones are completed, and overruled, by
    `special_tokens_map.json`. Raises TokenizerFileError.
    """
    tokens: dict[str, AddedToken] = {}
    roles: dict[str, str] = {}
    named: dict[str, str] = {}
    extra: list[str] = []
    sources = [(files.config, CONFIG)]
    if "added_tokens_decoder" not in files.config:
        sources.append((files.special_map, SPECIAL_MAP))
    for source, name in sources:
        where = files.where(name)
        for key, value in source.items():
            if value is None or not (key.endswith("_token") and isinstance(value, str | dict)):
                continue
            token = parse_token(value, special=True, where=f"{key} in {where}")
            tokens[token.content] = token
            (roles if key in ROLES else named)[key] = token.content
        _read_extra(source, where, tokens, named, extra)
    special = SpecialTokens(
        bos_token=roles.get("bos_token"),
        eos_token=roles.get("eos_token"),
        unk_token=roles.get("unk_token"),
        sep_token=roles.get("sep_token"),
        pad_token=roles.get("pad_token"),
        cls_token=roles.get("cls_token"),
        mask_token=roles.get("mask_token"),
        named=MappingProxyType(named),
        extra=tuple(dict.fromkeys(extra)),
    )
    return special, tokens


def _read_extra(
    source: Mapping[str, JsonValue],
    where: str,
    tokens: dict[str, AddedToken],
    named: dict[str, str],
    extra: list[str],
) -> None:
    given = next((source[key] for key in _EXTRA_KEYS if source.get(key)), None)
    if isinstance(given, dict):  # a model's own roles: {"image_token": "<image>"}
        for key, value in given.items():
            token = parse_token(value, special=True, where=f"{key} in {where}")
            tokens[token.content] = token
            named[key] = token.content
    elif isinstance(given, list):
        for value in given:
            token = parse_token(value, special=True, where=f"extra special tokens in {where}")
            tokens.setdefault(token.content, token)
            extra.append(token.content)


def read_added_tokens(files: SideFiles) -> dict[int, AddedToken]:
    """The added tokens by id that the small files list. Raises TokenizerFileError."""
    decoder = files.config.get("added_tokens_decoder")
    found: dict[int, AddedToken] = {}
    if isinstance(decoder, dict):
        for key, value in decoder.items():
            if not key.isdigit():
                raise TokenizerFileError(
                    f"added_tokens_decoder in {files.where(CONFIG)} has the key {key!r}, which is not an id",
                    fix=f"correct {files.where(CONFIG)}",
                    file=files.where(CONFIG),
                )
            found[int(key)] = parse_token(
                value, special=False, where=f"added_tokens_decoder in {files.where(CONFIG)}"
            )
        return found
    special, tokens = read_roles(files)
    for content, id in files.added_tokens.items():
        is_special = content in special.all()
        plain = AddedToken(content=content, special=is_special, normalized=not is_special)
        if isinstance(id, int):
            found[id] = tokens.get(content, plain) if is_special else plain
    return found
