"""The settings that the small files of a repository amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from hf_hub_io import JsonValue
from hf_tokenize.errors import TokenizerFileError
from hf_tokenize.load.files import CONFIG, FAMILY_KEY, FILE_HASH_KEY, FINGERPRINT_KEY, SideFiles
from hf_tokenize.load.vocabulary import Vocabulary
from hf_tokenize.options import Side
from hf_tokenize.settings import Settings
from hf_tokenize.special import ROLES, SpecialTokens

_READ: Final = frozenset(
    {
        *ROLES,
        "additional_special_tokens",
        "added_tokens_decoder",
        "chat_template",
        "clean_up_tokenization_spaces",
        "extra_special_tokens",
        FAMILY_KEY,
        FILE_HASH_KEY,
        FINGERPRINT_KEY,
        "is_local",
        "local_files_only",
        "max_len",
        "model_input_names",
        "model_max_length",
        "name_or_path",
        "padding_side",
        "special_tokens_map_file",
        "split_special_tokens",
        "src_lang",
        "tgt_lang",
        "tokenizer_class",
        "tokenizer_file",
        "truncation_side",
    }
)

SEGMENT_CLASSES: Final = frozenset(
    {
        "BertTokenizer",
        "BertJapaneseTokenizer",
        "CanineTokenizer",
        "ConvBertTokenizer",
        "DebertaTokenizer",
        "DebertaV2Tokenizer",
        "ElectraTokenizer",
        "FNetTokenizer",
        "FunnelTokenizer",
        "LayoutLMTokenizer",
        "LayoutLMv2Tokenizer",
        "LxmertTokenizer",
        "MarkupLMTokenizer",
        "MobileBertTokenizer",
        "RoFormerTokenizer",
        "RoCBertTokenizer",
        "SqueezeBertTokenizer",
        "TapasTokenizer",
        "XLNetTokenizer",
    }
)
"""Classes whose models read `token_type_ids`; a `model_input_names` in the configuration overrules this."""

LEFT_CLASSES: Final = frozenset({"CodeLlamaTokenizer", "CohereTokenizer", "GemmaTokenizer", "XLNetTokenizer"})
"""Classes that pad on the left unless the configuration says otherwise."""


def read_settings(files: SideFiles, special: SpecialTokens, *, class_name: str | None) -> Settings:
    """The settings in `tokenizer_config.json`; `class_name` supplies what it leaves out.

    Raises TokenizerFileError for a value of the wrong kind.
    """
    config = files.config
    names: tuple[str, ...] = ("input_ids", "attention_mask")
    if class_name in SEGMENT_CLASSES:
        names = ("input_ids", "token_type_ids", "attention_mask")
    given_names = config.get("model_input_names")
    if isinstance(given_names, list):
        names = tuple(str(name) for name in given_names)
    limit = config.get("model_max_length", config.get("max_len"))
    if limit is None:
        limit = 10**30
    if not isinstance(limit, int | float) or isinstance(limit, bool) or limit != limit or limit < 0:
        raise _wrong(files, "model_max_length", limit, "a number of tokens")
    return Settings(
        special=special,
        padding_side=_side(files, "padding_side", "left" if class_name in LEFT_CLASSES else "right"),
        truncation_side=_side(files, "truncation_side", "right"),
        model_max_length=min(int(min(limit, 1e30)), 10**30),
        model_input_names=names,
        clean_up_tokenization_spaces=config.get("clean_up_tokenization_spaces") is True,
        split_special_tokens=config.get("split_special_tokens") is True,
        chat_templates=MappingProxyType(dict(files.templates)),
        tokenizer_class=class_name,
        source_language=_text(config.get("src_lang")),
        target_language=_text(config.get("tgt_lang")),
        name_or_path=files.repo.id,
        extra=MappingProxyType(_unread(config)),
    )


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _unread(config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        key: value
        for key, value in config.items()
        if key not in _READ and not (key.endswith("_token") and isinstance(value, str | dict))
    }


def _side(files: SideFiles, name: str, default: Side) -> Side:
    match files.config.get(name, default):
        case "left":
            return "left"
        case "right":
            return "right"
        case other:
            raise _wrong(files, name, other, "'left' or 'right'")


def _wrong(files: SideFiles, name: str, value: JsonValue, wanted: str) -> TokenizerFileError:
    where = files.where(CONFIG)
    return TokenizerFileError(
        f"{name} in {where} is {value!r}, not {wanted}", fix=f"correct {where}", file=where
    )


def adopt_sections(settings: Settings, vocabulary: Vocabulary, *, given: Mapping[str, JsonValue]) -> Settings:
    """`settings` completed by what came with the vocabulary: roles, truncation and padding sections.

    They supply defaults that the configuration (`given`) leaves open; no call truncates or pads because of
    them.
    """
    truncation, padding = vocabulary.truncation, vocabulary.padding
    settings = replace(
        settings,
        special=vocabulary.special,
        truncation_section=truncation,
        padding_section=padding,
        source_files=MappingProxyType(dict(vocabulary.files)),
    )
    if isinstance(padding, dict):
        token, type_id = padding.get("pad_token"), padding.get("pad_type_id")
        if settings.special.pad_token is None and isinstance(token, str):
            settings = replace(settings, special=replace(settings.special, pad_token=token))
        if isinstance(type_id, int):
            settings = replace(settings, pad_token_type_id=type_id)
        if "padding_side" not in given and padding.get("direction") == "left":
            settings = replace(settings, padding_side="left")
    if (
        isinstance(truncation, dict)
        and "truncation_side" not in given
        and truncation.get("direction") == "left"
    ):
        settings = replace(settings, truncation_side="left")
    return settings
