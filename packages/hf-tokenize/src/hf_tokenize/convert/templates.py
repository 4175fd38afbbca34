"""Templates of special tokens in one line, such as "cls A sep | cls A sep B:1 sep:1"."""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from tokenizers import processors

from hf_tokenize.special import SpecialTokens


def apply_template(rust: tokenizers.Tokenizer, template: str, special: SpecialTokens) -> None:
    """Gives an engine that is still being made the post-processor that `template` spells.

    The part before `|` is for single texts, the one after for pairs. A and B are the texts, other words are
    roles (`cls`, `bos`) or, in quotes, tokens; `:1` is the type id. Roles that nobody plays are left out.
    """
    single, _, pair = template.partition(" | ")
    known: dict[str, int] = {}
    singles = _pieces(single, special, rust, known)
    pairs = _pieces(pair, special, rust, known) if pair else [*singles, "$B:1"]
    made = processors.TemplateProcessing(single=singles, pair=pairs, special_tokens=list(known.items()))
    # A byte-level engine comes with a processor already, which trims offsets.
    present = rust.post_processor
    rust.post_processor = made if present is None else processors.Sequence([present, made])


def _pieces(
    text: str, special: SpecialTokens, rust: tokenizers.Tokenizer, known: dict[str, int]
) -> list[str]:
    pieces = []
    for word in text.split():
        name, _, type_id = word.partition(":")
        type_id = type_id or "0"
        if name in ("A", "B"):
            pieces.append(f"${name}:{type_id}")
            continue
        token = name.strip("'") if name.startswith("'") else special.role(f"{name}_token")
        id = None if token is None else rust.token_to_id(token)
        if token is not None and id is not None:
            known[token] = id
            pieces.append(f"{token}:{type_id}")
    return pieces


def bos_eos_template(*, bos: bool, eos: bool) -> str:
    """The template of models that only mark the beginning and the end of each text."""
    single = f"{'bos ' if bos else ''}A{' eos' if eos else ''}"
    second = f"{'bos:1 ' if bos else ''}B:1{' eos:1' if eos else ''}"
    return f"{single} | {single} {second}"


def token_names(tokens: Sequence[str]) -> str:
    """Tokens in the spelling that templates give to literal ones."""
    return " ".join(f"'{token}'" for token in tokens)
