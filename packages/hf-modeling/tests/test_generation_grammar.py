"""Texts follow their grammar, whatever the model would rather say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

from hf_hub_io.errors import MissingPackageError
from hf_modeling.generation import FinishReason
from hf_modeling.generation.errors import DetokenizerNeededError, GrammarError
from hf_modeling.generation.grammar import Ebnf, GrammarLogitsProcessor, JsonSchema, Regex
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.testing.tiny import EOS, VOCABULARY, llama, prompts

pytest.importorskip("llguidance")

CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789{}[]":,.-'


class Characters:
    """A tokenizer of single characters; ids 0 to 3 are special."""

    def to_json(self) -> str | None:
        specials = ["<pad>", "<s>", "</s>", "<unk>"]
        vocabulary = {token: i for i, token in enumerate([*specials, *CHARACTERS])}
        vocabulary |= {f"unused{i}": i for i in range(len(vocabulary), VOCABULARY)}
        added = [
            {"id": i, "content": token, "special": True, "single_word": False}
            | {"lstrip": False, "rstrip": False, "normalized": False}
            for i, token in enumerate(specials)
        ]
        byte_level = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        }
        return json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": None,
                "pre_tokenizer": byte_level,
                "post_processor": None,
                "decoder": byte_level,
                "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": None},
            }
        )


def decode(tokens: list[int]) -> str:
    return "".join(CHARACTERS[token - 4] for token in tokens if 4 <= token < 4 + len(CHARACTERS))


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return llama(max_position_embeddings=400)


SCHEMA: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "maximum": 99, "minimum": 0},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "options",
    [{}, {"do_sample": True, "seed": 3, "top_k": 3}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}],
)
def test_json_of_a_schema(options: dict[str, Any], model: CausalLM) -> None:
    output = model.generate(
        prompts(2, 6),
        grammar=JsonSchema(SCHEMA),
        grammar_tokenizer=Characters(),
        max_new_tokens=120,
        return_dict_in_generate=True,
        **options,
    )
    assert set(output.finish_reasons) == {FinishReason.STOP}
    for row in output.sequences[:, 6:].tolist():
        record = json.loads(decode(row[: row.index(EOS)]))
        assert set(record) == {"name", "age"}
        assert 0 <= record["age"] <= 99


def test_regular_expressions(model: CausalLM) -> None:
    pattern = r"[a-c]{3}-[0-9]{2}"
    text = model.generate(
        prompts(3, 4), grammar=Regex(pattern), grammar_tokenizer=Characters(), max_new_tokens=20
    )
    for row in text[:, 4:].tolist():
        assert re.fullmatch(pattern, decode(row[: row.index(EOS)]))


def test_grammars(model: CausalLM) -> None:
    grammar = 'start: item ("," item)*\nitem: "x" | "[" start "]"\n'
    text = model.generate(
        prompts(1, 4),
        grammar=Ebnf(grammar),
        grammar_tokenizer=Characters(),
        max_new_tokens=30,
        do_sample=True,
        seed=1,
    )
    said = decode(text[0, 4:].tolist())
    assert set(said) <= set("x,[]")
    assert said[0] in "x["


def test_a_parser_follows_texts_that_go_back() -> None:
    processor = GrammarLogitsProcessor(
        Regex("ab(c|d)e"), Characters(), eos_token_id=[EOS], vocab_size=VOCABULARY
    )

    def possible(text: str) -> str:
        ids = torch.tensor([[4 + CHARACTERS.index(letter) for letter in text]], dtype=torch.long).view(1, -1)
        scores = processor(ids, torch.zeros(1, VOCABULARY))[0]
        return decode((scores == 0).nonzero()[:, 0].tolist())

    assert [possible(text) for text in ("a", "ab", "abc", "ab", "abd", "a")] == [
        "b",
        "cd",
        "e",
        "cd",
        "e",
        "b",
    ]
    with pytest.raises(GrammarError, match="left its grammar"):
        possible("zz")


@pytest.mark.parametrize(
    "grammar", [Regex("a("), Ebnf("start: nothing"), JsonSchema({"type": "no such type"})]
)
def test_a_grammar_that_is_none_is_refused(grammar: Any, model: CausalLM) -> None:
    with pytest.raises(GrammarError, match="cannot be used"):
        model.generate(prompts(1, 3), grammar=grammar, grammar_tokenizer=Characters(), max_new_tokens=3)


class Unwritable:
    def to_json(self) -> str | None:
        return None


def test_what_a_grammar_needs(model: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DetokenizerNeededError, match="grammar"):
        model.generate(prompts(1, 3), grammar=Regex("a"), max_new_tokens=3)
    with pytest.raises(GrammarError, match=r"tokenizer\.json"):
        model.generate(prompts(1, 3), grammar=Regex("a"), grammar_tokenizer=Unwritable(), max_new_tokens=3)
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(MissingPackageError, match="llguidance"):
        model.generate(prompts(1, 3), grammar=Regex("a"), grammar_tokenizer=Characters(), max_new_tokens=3)
