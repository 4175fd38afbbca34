"""Every encoder-decoder family against the peer: a row of `seq2seq_rows` each, all laws at each random size."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hf_modeling import AutoModelForSeq2SeqLM
from hf_modeling.classes import model_class
from hf_modeling.families import find_family
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from integration_tests.families.seq2seq_oracle import (
    Seq2SeqOracle,
    Texts,
    build_seq2seq,
    padded_left,
    random_texts,
    relative_error,
)
from integration_tests.families.seq2seq_rows import SEEDS, SEQ2SEQ_ROWS, Seq2SeqRow

pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
CASES = [(row, seed) for row in SEQ2SEQ_ROWS for seed in SEEDS]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[Seq2SeqRow, int]:
    found: tuple[Seq2SeqRow, int] = request.param
    return found


@pytest.fixture(scope="module")
def row(case: tuple[Seq2SeqRow, int]) -> Seq2SeqRow:
    return case[0]


@pytest.fixture(scope="module")
def oracle(case: tuple[Seq2SeqRow, int], tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqOracle:
    return build_seq2seq(*case, tmp_path_factory.mktemp("peer"))


@pytest.fixture(scope="module")
def model(oracle: Seq2SeqOracle) -> ConditionalGeneration:
    loaded = AutoModelForSeq2SeqLM.from_pretrained(oracle.folder)
    assert isinstance(loaded, ConditionalGeneration)
    return loaded


@pytest.fixture(scope="module")
def texts(row: Seq2SeqRow) -> Texts:
    return random_texts(row)


def real(states_BSD: Tensor, texts: Texts) -> Tensor:
    """What was made of the encoder's real tokens."""
    return states_BSD[texts.mask.bool()]


def test_states_and_logits_equal_the_peer(
    oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts
) -> None:
    with torch.no_grad():
        theirs = oracle.model(**texts.inputs(), output_hidden_states=True, output_attentions=True)
        ours = model(**texts.inputs(), output_hidden_states=True, output_attentions=True)
    assert relative_error(ours.logits, theirs.logits) < TOLERANCE
    for mine, peer in zip(ours.encoder_hidden_states, theirs.encoder_hidden_states, strict=True):
        assert relative_error(real(mine, texts), real(peer, texts)) < TOLERANCE
    for name in ("decoder_hidden_states", "decoder_attentions", "cross_attentions"):
        for mine, peer in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert relative_error(mine, peer) < TOLERANCE, name


def test_either_backend_gives_the_same(
    oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts
) -> None:
    eager = AutoModelForSeq2SeqLM.from_pretrained(oracle.folder, attn_implementation="eager")
    with torch.no_grad():
        assert relative_error(eager(**texts.inputs()).logits, model(**texts.inputs()).logits) < TOLERANCE


def test_padding_on_the_left_changes_nothing(model: ConditionalGeneration, texts: Texts) -> None:
    ids, mask = padded_left(texts)
    with torch.no_grad():
        right = model(**texts.inputs()).logits
        left = model(ids, attention_mask=mask, decoder_input_ids=texts.decoder_ids).logits
    assert relative_error(left, right) < TOLERANCE


def test_cached_steps_equal_one_pass(model: ConditionalGeneration, texts: Texts) -> None:
    decoder_ids = texts.decoder_ids
    with torch.no_grad():
        whole = model(**texts.inputs())
        encoded = (whole.encoder_last_hidden_state,)
        output = model(
            encoder_outputs=encoded,
            attention_mask=texts.mask,
            decoder_input_ids=decoder_ids[:, :4],
            use_cache=True,
        )
        pieces = [output.logits]
        for step in range(4, decoder_ids.shape[1]):
            output = model(
                encoder_outputs=encoded,
                attention_mask=texts.mask,
                decoder_input_ids=decoder_ids[:, step : step + 1],
                past_key_values=output.past_key_values,
            )
            pieces.append(output.logits)
    assert relative_error(torch.cat(pieces, dim=1), whole.logits) < TOLERANCE


def test_loss_and_gradient_equal_the_peer(
    oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts
) -> None:
    labels = texts.decoder_ids.clone()
    labels[1, -3:] = -100
    results = []
    sides: tuple[Any, Any] = (oracle.model, model)
    for side in sides:
        side.zero_grad()
        loss = side(input_ids=texts.ids, attention_mask=texts.mask, labels=labels).loss
        loss.backward()
        table = side.get_input_embeddings().weight.grad
        norm = torch.stack([p.grad.norm() for p in side.parameters() if p.grad is not None]).norm()
        results.append((loss.detach(), table.clone(), norm))
        side.zero_grad()
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert relative_error(ours, theirs) < TOLERANCE * 10


def test_saved_files_are_the_peers_files(
    oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, oracle.folder))
    assert sorted(ours) == sorted(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with torch.no_grad():
        again = oracle.reloaded(tmp_path)(**texts.inputs()).logits
        assert relative_error(again, oracle.model(**texts.inputs()).logits) < TOLERANCE


GREEDY: dict[str, Any] = {"num_beams": 1}
BEAMS: dict[str, Any] = {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3}


@pytest.mark.parametrize("how", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_answers_are_the_peers(
    how: dict[str, Any], row: Seq2SeqRow, oracle: Seq2SeqOracle, model: ConditionalGeneration, texts: Texts
) -> None:
    options = {"max_new_tokens": 11, "do_sample": False, **row.generate, **how}
    theirs = oracle.model.generate(texts.ids, attention_mask=texts.mask, **options)
    ours = model.generate(texts.ids, attention_mask=texts.mask, **options)
    assert ours.tolist() == theirs.tolist()
    ids, mask = padded_left(texts)
    assert model.generate(ids, attention_mask=mask, **options).tolist() == theirs.tolist()


@pytest.mark.parametrize(
    "ending",
    ["base", "text-encoding", "sequence-classification", "token-classification", "question-answering"],
)
@pytest.mark.parametrize(
    "row", [row for row in SEQ2SEQ_ROWS if row.name == row.model_type], ids=lambda row: row.name
)
def test_other_heads_equal_the_peer(row: Seq2SeqRow, ending: Any, tmp_path: Path) -> None:
    family = find_family(row.model_type)
    name = family.classes.get(ending)
    if name is None:
        pytest.skip("the family has no such model")
    stem = family.classes["base"].removesuffix("Model")
    peer = build_seq2seq(row, 1, tmp_path, name.removeprefix(stem))
    model = model_class(family, ending).from_pretrained(tmp_path)
    texts = random_texts(row)
    eos = row.drawn(1)["eos_token_id"]
    assert isinstance(eos, int)
    ids = texts.ids.masked_fill(~texts.mask.bool(), 20)
    ids[:, 4] = ids[:, -1] = eos
    inputs: dict[str, Tensor] = {"input_ids": ids}
    match ending:
        case "base":
            inputs["decoder_input_ids"] = texts.decoder_ids
        case "sequence-classification":
            inputs["labels"] = torch.tensor([1, 0])
        case "token-classification":
            inputs["labels"] = ids % 2
        case "question-answering":
            inputs |= {"start_positions": torch.tensor([1, 2]), "end_positions": torch.tensor([3, 50])}
            inputs["decoder_input_ids"] = texts.decoder_ids
        case _:
            pass
    with torch.no_grad():
        theirs, ours = peer.model(**inputs), model(**inputs)
    for field in ("loss", "logits", "start_logits", "end_logits", "last_hidden_state"):
        expected = getattr(theirs, field, None)
        if expected is not None:
            assert relative_error(getattr(ours, field), expected) < TOLERANCE, field
    model.save_pretrained(tmp_path / "again")
    saved, whole = (load_file(f / "model.safetensors") for f in (tmp_path / "again", tmp_path))
    written = {name: tensor for name, tensor in whole.items() if not name.endswith(row.constants)}
    assert sorted(saved) == sorted(written)
    assert all(torch.equal(saved[name], written[name]) for name in written)


def test_global_tokens_see_and_are_seen(tmp_path: Path) -> None:
    row = next(row for row in SEQ2SEQ_ROWS if row.name == "led")
    peer = build_seq2seq(row, 0, tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    texts = random_texts(row)
    marked = torch.zeros_like(texts.ids)
    marked[:, 0] = marked[0, 7] = 1
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "num_beams": 3}
    with torch.no_grad():
        theirs = peer.model(**texts.inputs(), global_attention_mask=marked).logits
        ours = model(**texts.inputs(), global_attention_mask=marked).logits
    assert relative_error(ours, theirs) < TOLERANCE
    answers = peer.model.generate(
        texts.ids, attention_mask=texts.mask, global_attention_mask=marked, **options
    ).tolist()
    found = model.generate(texts.ids, attention_mask=texts.mask, global_attention_mask=marked, **options)
    assert found.tolist() == answers
    order = texts.mask.argsort(dim=1, stable=True)
    ids, mask = padded_left(texts)
    left = model.generate(ids, attention_mask=mask, global_attention_mask=marked.gather(1, order), **options)
    assert left.tolist() == answers
