"""Structured output: texts that follow a JSON schema, a regular expression or a grammar, by the library llguidance.

B sequences, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, assert_never, final

import torch
from torch import Tensor

from hf_hub_io.errors import MissingPackageError
from hf_hub_io.jsonio import JsonValue
from hf_modeling.generation.errors import GrammarError
from hf_modeling.generation.processors.base import NEVER

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Texts that are JSON of this schema; `{}` is any JSON."""

    schema: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Regex:
    """Texts that match this expression as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Ebnf:
    """Texts of this grammar, in the EBNF of the parser library Lark; its start rule is called `start`."""

    grammar: str


Grammar: TypeAlias = JsonSchema | Regex | Ebnf


class GrammarTokenizer(Protocol):
    """A tokenizer that can be written down as a tokenizer.json."""

    def to_json(self) -> str | None:
        """The content of its tokenizer.json; None if it has none."""
        ...


@final
class GrammarLogitsProcessor:
    """Allows only tokens that a text of the grammar can go on with, and the end only where it may end.

    Each sequence has a parser of its own, which follows the ids: sequences may change places and go back, as
    beams and drafts do.

    Args:
        grammar: what the text has to be.
        tokenizer: the model's.
        eos_token_id: the end tokens.
        vocab_size: the width of the logits.
        prompt_length: tokens before the text.

    Raises:
        GrammarError: the grammar cannot be parsed, or the tokenizer not be described.
        MissingPackageError: llguidance is not installed.
    """

    def __init__(
        self,
        grammar: Grammar,
        tokenizer: GrammarTokenizer,
        *,
        eos_token_id: Sequence[int],
        vocab_size: int,
        prompt_length: int = 0,
    ) -> None:
        self._tokenizer = _described(tokenizer, vocab_size, list(eos_token_id))
        self._source = _compiled(grammar, self._tokenizer)
        self._ends = frozenset(eos_token_id)
        self.prompt_length = prompt_length
        self._parsers: list[_Parser] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        texts = input_ids[:, self.prompt_length :].tolist()
        while len(self._parsers) < len(texts):
            self._parsers.append(_Parser(self._tokenizer, self._source))
        allowed = torch.ones(scores.shape, dtype=torch.bool)
        for row, text in enumerate(texts):
            if not self._ends.intersection(text):  # what follows an end is filler
                allowed[row] = self._parsers[row].allowed(text, scores.shape[-1])
        return scores.masked_fill(~allowed.to(scores.device), NEVER)


@final
class _Parser:
    """The parser of one sequence, and what it has read."""

    def __init__(self, tokenizer: LLTokenizer, source: str) -> None:
        from llguidance import LLMatcher

        self._matcher: LLMatcher = LLMatcher(tokenizer, source)
        self._read: list[int] = []

    def allowed(self, text: list[int], vocabulary: int) -> Tensor:
        """Which tokens (V,) may follow this text."""
        same = next((i for i, (a, b) in enumerate(zip(self._read, text, strict=False)) if a != b), None)
        kept = min(len(self._read), len(text)) if same is None else same
        if kept < len(self._read):
            self._matcher.rollback(len(self._read) - kept)
        if not self._matcher.consume_tokens(text[kept:]):
            raise GrammarError(
                f"the text left its grammar: {self._matcher.get_error()}",
                fix="let no other processor force tokens that the grammar forbids",
            )
        self._read = list(text)
        mask = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        bits = (mask[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        flat = bits.flatten()[:vocabulary].bool()
        return torch.nn.functional.pad(flat, (0, vocabulary - flat.shape[0]))


def _described(tokenizer: GrammarTokenizer, vocabulary: int, ends: list[int]) -> LLTokenizer:
    try:
        from llguidance import LLTokenizer
    except ModuleNotFoundError:
        raise MissingPackageError(
            "llguidance", "structured output", install="pip install 'hf-modeling[grammar]'"
        ) from None
    description = tokenizer.to_json()
    if description is None:
        raise GrammarError(
            "this tokenizer cannot be written as a tokenizer.json, which grammars are matched with",
            fix="use a checkpoint with a tokenizer.json",
        )
    try:
        return LLTokenizer(description, n_vocab=vocabulary, eos_token=ends or None)
    except ValueError as error:
        raise GrammarError(
            f"llguidance cannot use this tokenizer: {error}", fix="use another tokenizer"
        ) from None


def _compiled(grammar: Grammar, tokenizer: LLTokenizer) -> str:
    """The grammar as llguidance writes it. Raises GrammarError if it is none."""
    from llguidance import LLMatcher

    match grammar:
        case JsonSchema(schema=schema):
            source = LLMatcher.grammar_from_json_schema(json.dumps(schema))
        case Regex(pattern=pattern):
            source = LLMatcher.grammar_from_regex(pattern)
        case Ebnf(grammar=text):
            source = LLMatcher.grammar_from_lark(text)
        case _:
            assert_never(grammar)
    problem = LLMatcher.validate_grammar(source, tokenizer)
    if problem:
        raise GrammarError(f"{type(grammar).__name__} cannot be used: {problem}", fix="correct the grammar")
    return source
