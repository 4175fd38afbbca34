"""What a tokenizer knows beside its engine: roles of special tokens, defaults, templates, and the file's
own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypedDict

from hf_hub_io.jsonio import JsonValue
from hf_tokenize.options import UNLIMITED, Side, unknown_option
from hf_tokenize.special import ROLES, SpecialTokens


class TokenizerOptions(TypedDict, total=False):
    """What may be said when a tokenizer is loaded, and changed in a copy by `tokenizer.replace`."""

    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None
    extra_special_tokens: list[str]
    padding_side: Side
    truncation_side: Side
    model_max_length: int
    model_input_names: list[str]
    chat_template: str | Mapping[str, str] | None
    src_lang: str | None
    tgt_lang: str | None
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The immutable half of a tokenizer that is not the engine.

    `tokenizer_class` is the name the files give, kept for saving; it decides nothing where a
    `tokenizer.json` is. `source_files` are those to save again where the engine cannot be written as a
    `tokenizer.json`. `extra` holds entries of `tokenizer_config.json` nobody here reads, so that saving
    loses nothing.
    """

    special: SpecialTokens = field(default_factory=SpecialTokens)
    padding_side: Side = "right"
    truncation_side: Side = "right"
    model_max_length: int = 10**30
    pad_token_type_id: int = 0
    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    clean_up_tokenization_spaces: bool = False
    split_special_tokens: bool = False
    chat_templates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tokenizer_class: str | None = None
    name_or_path: str = ""
    source_language: str | None = None
    target_language: str | None = None
    source_files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    truncation_section: JsonValue = None
    padding_section: JsonValue = None
    extra: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def limited(self) -> bool:
        """Whether the model sets a limit on its input."""
        return self.model_max_length <= UNLIMITED


def apply_options(settings: Settings, options: TokenizerOptions) -> Settings:
    """`settings` with what `options` say. Raises UnknownOptionError."""
    for name in options:
        if name not in TokenizerOptions.__annotations__:
            raise unknown_option(name, tuple(TokenizerOptions.__annotations__))
    special = settings.special
    for role in ROLES:
        if role in options:
            special = special.with_role(role, options[role])
    if "extra_special_tokens" in options:
        special = replace(special, extra=tuple(options["extra_special_tokens"]))
    templates = settings.chat_templates
    if "chat_template" in options:
        template = options["chat_template"]
        templates = {"default": template} if isinstance(template, str) else dict(template or {})
    return replace(
        settings,
        special=special,
        chat_templates=MappingProxyType(dict(templates)),
        source_language=options.get("src_lang", settings.source_language),
        target_language=options.get("tgt_lang", settings.target_language),
        padding_side=options.get("padding_side", settings.padding_side),
        truncation_side=options.get("truncation_side", settings.truncation_side),
        model_max_length=options.get("model_max_length", settings.model_max_length),
        model_input_names=tuple(options.get("model_input_names", settings.model_input_names)),
        clean_up_tokenization_spaces=options.get(
            "clean_up_tokenization_spaces", settings.clean_up_tokenization_spaces
        ),
        split_special_tokens=options.get("split_special_tokens", settings.split_special_tokens),
    )
