"""Every way to generate with an encoder-decoder: the peer's answers, and those of other ways to the same answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_modeling import AutoModelForSeq2SeqLM, EncoderDecoderCache
from hf_modeling.errors import InputError
from hf_modeling.generation import FinishReason
from hf_modeling.generation.errors import ContradictionError, MissingTokenError, PromptError
from hf_modeling.generation.serving.request import Request
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from integration_tests.families.seq2seq_oracle import Seq2SeqOracle, Texts, build_seq2seq, random_texts
from integration_tests.families.seq2seq_rows import SEQ2SEQ_ROWS, Seq2SeqRow

pytestmark = pytest.mark.parity
ROWS = {row.name: row for row in SEQ2SEQ_ROWS}
NEW = 10
# The peer's M2M100 does not count padding tokens among a decoder's positions, even where they were generated.
PADDING = [1]
PLAIN: dict[str, Any] = {
    "max_new_tokens": NEW,
    "do_sample": False,
    "num_beams": 1,
    "suppress_tokens": PADDING,
}


@pytest.fixture(scope="module", params=["t5", "bart", "m2m_100"])
def row(request: pytest.FixtureRequest) -> Seq2SeqRow:
    return ROWS[request.param]


@pytest.fixture(scope="module")
def oracle(row: Seq2SeqRow, tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqOracle:
    return build_seq2seq(row, 1, tmp_path_factory.mktemp("peer"))


@pytest.fixture(scope="module")
def model(oracle: Seq2SeqOracle) -> ConditionalGeneration:
    loaded: ConditionalGeneration = AutoModelForSeq2SeqLM.from_pretrained(oracle.folder)
    return loaded


@pytest.fixture(scope="module")
def texts(row: Seq2SeqRow) -> Texts:
    return random_texts(row, rows=3)


def answers(model: ConditionalGeneration, texts: Texts, **options: Any) -> list[list[int]]:
    lines: list[list[int]] = model.generate(
        texts.ids, attention_mask=texts.mask, **{**PLAIN, **options}
    ).tolist()
    return lines


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3, "num_return_sequences": 2},
        {"num_beams": 3, "early_stopping": True},
        {"num_beams": 2, "early_stopping": "never", "length_penalty": 0.5},
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"encoder_no_repeat_ngram_size": 1},
        {"encoder_repetition_penalty": 2.5},
        {"encoder_no_repeat_ngram_size": 2, "num_beams": 3},
        {"min_length": 6, "max_length": 9, "max_new_tokens": None},
        {"bad_words_ids": [[20], [30, 31]], "num_beams": 2},
        {"forced_bos_token_id": 15, "forced_eos_token_id": 2, "num_beams": 2},
        {"suppress_tokens": [*PADDING, 21, 22, 23]},
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"use_cache": False, "num_beams": 3},
    ],
    ids=str,
)
def test_the_peers_answers(
    options: dict[str, Any], oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts
) -> None:
    theirs = oracle.model.generate(texts.ids, attention_mask=texts.mask, **{**PLAIN, **options})
    assert answers(model, texts, **options) == theirs.tolist()


def test_answers_that_were_begun(oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts) -> None:
    begun = texts.decoder_ids[:, :3]
    for options in ({}, {"num_beams": 3}):
        theirs = oracle.model.generate(
            texts.ids, attention_mask=texts.mask, decoder_input_ids=begun, **{**PLAIN, **options}
        )
        assert answers(model, texts, decoder_input_ids=begun, **options) == theirs.tolist()


@pytest.mark.parametrize("kind", ["static", "quantized", "offloaded", "sliding_window"])
@pytest.mark.parametrize("beams", [1, 3])
def test_caches_agree(kind: str, beams: int, model: ConditionalGeneration, texts: Texts) -> None:
    plain = answers(model, texts, num_beams=beams)
    assert answers(model, texts, num_beams=beams, cache_implementation=kind) == plain


def test_beams_share_what_was_made_of_a_text(model: ConditionalGeneration, texts: Texts) -> None:
    output = model.generate(
        texts.ids,
        attention_mask=texts.mask,
        **{**PLAIN, "num_beams": 4},
        return_dict_in_generate=True,
        output_scores=True,
    )
    cache = output.past_key_values
    assert isinstance(cache, EncoderDecoderCache)
    held = cache.get(0, "cross_key")
    assert held is not None
    assert held.shape[0] == len(texts.ids)
    assert output.sequences.tolist() == answers(model, texts, num_beams=4)


def test_drafts_change_nothing(model: ConditionalGeneration, texts: Texts) -> None:
    plain = answers(model, texts)
    assert answers(model, texts, assistant_model=model) == plain
    assert answers(model, texts, prompt_lookup_num_tokens=3) == plain


def test_one_by_one_and_many_give_the_same(model: ConditionalGeneration, texts: Texts) -> None:
    batch = answers(model, texts)
    assert answers(model, texts, deterministic=True) == batch
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(texts.ids, texts.mask, strict=True)]
    completions = model.generate_many(
        [
            *prompts,
            Request(prompt=[10**6]),
            Request(prompt=prompts[0], options={"max_new_tokens": 2, "suppress_tokens": PADDING}),
        ],
        max_new_tokens=NEW,
        num_beams=1,
        suppress_tokens=PADDING,
    )
    ends = model.generation_config.eos_token_id if model.generation_config else None
    for line, completion in zip(batch, completions, strict=False):
        tokens = line[1:]
        assert completion.error is None
        assert list(completion.tokens) == tokens[: tokens.index(ends) + 1 if ends in tokens else None]
    assert isinstance(completions[3].error, PromptError)
    assert completions[3].finish_reason is FinishReason.ERROR
    assert list(completions[4].tokens) == answers(model, texts, max_new_tokens=2)[0][1:]


def test_streams_give_the_same(model: ConditionalGeneration, texts: Texts) -> None:
    batch = answers(model, texts)
    found: list[list[int]] = [[] for _ in batch]
    for event in model.stream(texts.ids, attention_mask=texts.mask, **PLAIN):
        found[event.sequence].append(event.token)

    async def later() -> list[int]:
        events = model.astream(texts.ids[:1], attention_mask=texts.mask[:1], **PLAIN)
        return [event.token async for event in events]

    for line, tokens in zip(batch, found, strict=True):
        assert line[1 : 1 + len(tokens)] == tokens
    assert asyncio.run(later()) == found[0]
    with pytest.raises(ContradictionError, match="num_beams=1"):
        list(model.stream(texts.ids, **{**PLAIN, "num_beams": 2}))


def test_what_the_encoder_gave_before_is_taken(model: ConditionalGeneration, texts: Texts) -> None:
    with torch.no_grad():
        encoded = model.get_encoder()(texts.ids, attention_mask=texts.mask)
    for given in (encoded, (encoded.last_hidden_state,)):
        again = model.generate(None, encoder_outputs=given, attention_mask=texts.mask, **PLAIN)
        assert again.tolist() == answers(model, texts)
    embeds = model.get_input_embeddings()(texts.ids)
    assert model.generate(inputs_embeds=embeds, attention_mask=texts.mask, **PLAIN).tolist() == answers(
        model, texts
    )


def test_sampled_answers_differ_by_seed_and_not_by_batch(model: ConditionalGeneration, texts: Texts) -> None:
    options = {"do_sample": True, "top_k": 0, "temperature": 2.0, "seed": [3, 4, 5]}
    batch = answers(model, texts, **options)
    assert answers(model, texts, **options) == batch
    assert answers(model, texts, **{**options, "seed": [6, 7, 8]}) != batch
    alone = model.generate(texts.ids[:1], attention_mask=texts.mask[:1], **{**PLAIN, **options, "seed": [3]})
    assert batch[0][: alone.shape[1]] == alone[0].tolist()


def test_several_answers_to_each_text(model: ConditionalGeneration, texts: Texts) -> None:
    options = {"do_sample": True, "top_k": 0, "num_return_sequences": 2, "seed": 1}
    assert len(answers(model, texts, **options)) == 2 * len(texts.ids)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"inputs": None}, PromptError),
        ({"inputs": torch.tensor([[10**6]])}, PromptError),
        ({"inputs": torch.zeros(1, 0, dtype=torch.long)}, PromptError),
        ({"compile": True}, ContradictionError),
        ({"decoder_start_token_id": [1, 2]}, PromptError),
    ],
    ids=str,
)
def test_calls_that_cannot_be_served(
    options: dict[str, Any], error: type[Exception], model: ConditionalGeneration, texts: Texts
) -> None:
    given = {"inputs": texts.ids, **PLAIN, **options}
    inputs: Tensor | None = given.pop("inputs")
    with pytest.raises(error):
        model.generate(inputs, **given)


def test_a_decoder_without_a_start(tmp_path: Path) -> None:
    row = ROWS["mbart"]
    build_seq2seq(row, 0, tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    model.generation_config = None
    model.config = model.config.replace(bos_token_id=None)
    with pytest.raises(MissingTokenError, match="decoder_start_token_id"):
        model.generate(random_texts(row).ids, max_new_tokens=2)


def test_a_text_beyond_the_positions(model: ConditionalGeneration, row: Seq2SeqRow) -> None:
    if row.name != "bart":
        pytest.skip("the others count positions without end")
    with pytest.raises(InputError, match="knows 40 positions"):
        model.generate(torch.full((1, 41), 20), **PLAIN)


@pytest.mark.parametrize("beams", [1, 3])
def test_what_layers_looked_at_is_kept(beams: int, model: ConditionalGeneration, texts: Texts) -> None:
    output = model.generate(
        texts.ids,
        attention_mask=texts.mask,
        **{**PLAIN, "num_beams": beams},
        return_dict_in_generate=True,
        output_attentions=True,
        output_hidden_states=True,
    )
    assert output.cross_attentions is not None
    assert output.attentions is not None
    steps = output.sequences.shape[1] - 1
    assert len(output.cross_attentions) >= steps
    layers = len(model.get_decoder().layers)
    rows, length = texts.ids.shape
    for step in output.cross_attentions:
        assert len(step) == layers
        assert all(w.shape[0] == rows * beams and w.shape[2:] == (1, length) for w in step)
        hidden = (texts.mask == 0).repeat_interleave(beams, 0)
        assert all(float(w.sum(1)[:, 0].masked_fill(~hidden, 0).sum()) == 0 for w in step)
