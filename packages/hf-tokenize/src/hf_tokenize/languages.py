"""Translation tokenizers: which language token goes where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hf_tokenize.engine import Engine
from hf_tokenize.errors import OptionError
from hf_tokenize.settings import Settings
from hf_tokenize.wrappers import AffixedEngine


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRule:
    """How a family marks languages: before the text, or after the end token; spelled as `spelling`."""

    before: bool
    default: str
    spelling: str = "{}"

    def token(self, code: str) -> str:
        """The token of a language code."""
        return self.spelling.format(code)


RULES: Final[Mapping[str, LanguageRule]] = {
    "M2M100Tokenizer": LanguageRule(before=True, default="en", spelling="__{}__"),
    "MBart50Tokenizer": LanguageRule(before=True, default="en_XX"),
    "MBartTokenizer": LanguageRule(before=False, default="en_XX"),
    "NllbTokenizer": LanguageRule(before=True, default="eng_Latn"),
    "SeamlessM4TTokenizer": LanguageRule(before=True, default="eng", spelling="__{}__"),
}


def language_engine(engine: Engine, rule: LanguageRule, code: str, end: str | None) -> Engine:
    """`engine` marking its texts as `code`. Raises OptionError for a language this vocabulary does not know."""
    token = rule.token(code)
    id = engine.token_to_id(token)
    end_id = None if end is None else engine.token_to_id(end)
    if id is None or end_id is None:
        known = sorted(t for t in (a.content for a in engine.added_tokens().values()) if _looks_like(t, rule))
        raise OptionError(
            f"the language {code!r} has no token {token!r} in this vocabulary",
            fix=f"use one of {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}",
        )
    if rule.before:
        return AffixedEngine(engine, before=[id], after=[end_id])
    return AffixedEngine(engine, before=[], after=[end_id, id])


def by_language(engine: Engine, target: Engine | None, settings: Settings) -> tuple[Engine, Engine]:
    """The engines for texts and for targets, marked with the languages that the settings name.

    Families that mark no language have one engine for both, unless they come with a second vocabulary.
    """
    source_code, target_code = settings.source_language, settings.target_language
    rule = RULES.get(settings.tokenizer_class or "")
    if rule is None:
        return engine, target or engine
    end = settings.special.eos_token
    own = engine if source_code is None else language_engine(engine, rule, source_code, end)
    other = own if target_code is None else language_engine(engine, rule, target_code, end)
    return own, target or other


def _looks_like(token: str, rule: LanguageRule) -> bool:
    start, _, stop = rule.spelling.partition("{}")
    return token.startswith(start) and token.endswith(stop) and not token.startswith("<")
