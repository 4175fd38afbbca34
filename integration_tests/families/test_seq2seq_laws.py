"""Laws of encoder-decoders that need no peer: prints as they were read, tables that conserve, wrong facts that show."""

import sys
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_config import config_class
from hf_modeling.classes import model_class
from hf_modeling.export import export_code
from hf_modeling.families import FAMILIES, find_family
from hf_modeling.families.family import Task
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from hf_modeling.init import without_weights
from hf_modeling.spec import (
    BucketBias,
    CrossAttention,
    Crossed,
    Embed,
    EmbedScale,
    GlobalWindowAttention,
    LastTokenFirst,
    LayerNorm,
    LearnedPositions,
    LmHead,
    LocalAttention,
    LocalBias,
    Mlp,
    Seq2SeqSpec,
    SinusoidPositions,
    SinusoidTable,
    StartToken,
    Summaries,
)
from hf_modeling.weights.errors import MissingWeightsError
from hf_modeling.weights.plan import plan_load, plan_save
from hf_modeling.weights.slots import find_slots
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.seq2seq_oracle import fill_seq2seq, random_texts, relative_error
from integration_tests.families.seq2seq_rows import SEQ2SEQ_ROWS, Seq2SeqRow
from integration_tests.families.wrong_facts import Control, Edit, having

ROWS = {row.name: row for row in SEQ2SEQ_ROWS}
PAIRS = {"encoder-decoder"}  # described by what they are made of, in a test of their own
CASES = [
    pytest.param(row, task, id=f"{row.name}-{task}")
    for row in SEQ2SEQ_ROWS
    for task in find_family(row.model_type).classes
]
LEAST = 1e-3


@pytest.mark.parametrize("row", SEQ2SEQ_ROWS, ids=lambda row: row.name)
def test_spec_and_weight_table_print_as_they_were_read(row: Seq2SeqRow) -> None:
    assert printed(row) == golden_file(row).read_text(), "read the change, then write_golden if it is right"


def test_no_print_is_left_of_a_row_that_is_gone() -> None:
    assert {path.stem for path in (GOLDEN / "seq2seq").glob("*.txt")} == set(ROWS)


def test_every_family_has_a_row() -> None:
    families = {name for name in FAMILIES if find_family(name).skeleton == "seq2seq"}
    assert families - PAIRS == {row.model_type for row in SEQ2SEQ_ROWS}


@pytest.mark.parametrize(("row", "task"), CASES)
def test_tables_are_conserving_and_reversible(row: Seq2SeqRow, task: Task) -> None:
    config = config_class(row.model_type).from_dict(row.drawn(0))
    with without_weights():
        model = model_class(find_family(row.model_type), task)(config)
    slots, ties = find_slots(model, "model." if model.is_base else "")
    wanted = {name: tuple(slot.tensor.shape) for name, slot in slots.items()}
    table = model.weight_table()
    disk: dict[str, tuple[int, ...]] = {}
    for step in plan_save(table, {name: shape for name, shape in wanted.items() if name not in ties}):
        outlines = step.save([torch.empty(wanted[name], device="meta") for name in step.inputs])
        assert not outlines.keys() & disk.keys(), "a tensor is written twice"
        disk |= {name: tuple(tensor.shape) for name, tensor in outlines.items()}
    for bare in (False, True):
        stored = {name.removeprefix(table.prefix) if bare else name: shape for name, shape in disk.items()}
        found = plan_load(table, stored, wanted, ties=ties, skip=lambda name: False, where=row.name)
        assert (found.missing, found.unexpected, found.mismatched, found.repeats) == ({}, [], [], [])
        assert not found.dropped, "nothing that is saved is left out when loading"
        assert sorted(name for step in found.steps for name in step.inputs) == sorted(stored)


@cache
def right_model(name: str) -> ConditionalGeneration:
    """The row's model, every weight random."""
    row = ROWS[name]
    config = config_class(row.model_type).from_dict(row.drawn(0))
    model: Any = model_class(find_family(row.model_type), "seq2seq-lm")(config).eval()
    fill_seq2seq(model, constants=("stem.positions.weight",) if row.constants else ())
    assert isinstance(model, ConditionalGeneration)
    return model


def every(*edits: Edit) -> Edit:
    """One fact that several types of the spec state."""

    def edit(spec: Any) -> Any:
        for one in edits:
            spec = one(spec)
        return spec

    return edit


def in_decoder(edit: Edit) -> Edit:
    """The fact changed in the decoder only."""
    return lambda spec: replace(spec, decoder=edit(spec.decoder))


CONTROLS = [
    Control("t5", "another number of buckets", having(BucketBias, max_distance=20)),
    Control("t5", "a decoder's buckets look both ways", having(BucketBias, both_ways=True)),
    Control("t5", "buckets that only look back", having(BucketBias, both_ways=False)),
    Control("t5", "scaled scores", having(CrossAttention, scale=None)),
    Control("t5", "logits that are not scaled", having(LmHead, scale=1.0)),
    Control("t5-gated", "scaled logits", having(LmHead, scale=0.25)),
    Control("umt5", "another distance", having(BucketBias, max_distance=30)),
    Control("umt5", "buckets that only look back", having(BucketBias, both_ways=False)),
    Control(
        "longt5",
        "one token less on either side",
        every(having(LocalAttention, size=3), having(LocalBias, size=3)),
    ),
    Control("longt5", "another distance", having(LocalBias, max_distance=4)),
    Control(
        "longt5-transient-global",
        "no summaries",
        every(having(LocalAttention, summaries=None), having(LocalBias, block=None)),
    ),
    Control(
        "longt5-transient-global",
        "longer blocks",
        every(having(Summaries, block=5), having(LocalBias, block=5)),
    ),
    Control("bart", "positions one row up", having(LearnedPositions, offset=1)),
    Control("bart", "no positions", having(Embed, positions=None)),
    Control("bart", "no norm of embeddings", having(Embed, norm=None)),
    Control("bart", "another epsilon", having(LayerNorm, eps=1e-1)),
    Control("bart-scaled", "embeddings not scaled", having(EmbedScale, value=1.0)),
    Control("mbart", "no last norm", in_decoder(lambda stack: replace(stack, norm=None))),
    Control("mbart", "no norm of embeddings", having(Embed, norm=None)),
    Control("mbart", "another activation", having(Mlp, activation="relu")),
    Control("m2m_100", "positions from zero", having(SinusoidPositions, offset=0)),
    Control("m2m_100", "other wavelengths", having(SinusoidPositions, range="open")),
    Control("marian", "scaled scores", having(CrossAttention, scale=1.0)),
    Control("led", "a wider window", having(GlobalWindowAttention, reach=3)),
    Control("led", "a narrower window", having(GlobalWindowAttention, reach=1)),
    Control(
        "blenderbot-small",
        "positions before the norm",
        in_decoder(having(Embed, norm_at="end")),
    ),
]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"{control.row}: {control.fact}")
def test_a_wrong_fact_shows(control: Control) -> None:
    right = right_model(control.row)
    spec = right.family.spec(right.config)
    edited = control.edit(spec)
    assert edited != spec, "nothing was changed"
    wrong = type(right)(right.config, edited).eval()
    stored, own = right.state_dict(), wrong.state_dict()
    kept = {name: stored[name] for name in own if name in stored and stored[name].shape == own[name].shape}
    assert own.keys() == kept.keys(), "a wrong fact should need the weights that the right one has"
    wrong.load_state_dict(kept)
    texts = random_texts(ROWS[control.row])
    with torch.no_grad():
        expected, actual = right(**texts.inputs()).logits, wrong(**texts.inputs()).logits
    assert relative_error(actual, expected) > LEAST


def test_what_the_decoder_reads_is_the_familys_rule() -> None:
    labels = torch.tensor([[20, 21, 2, 30], [22, 2, 31, -100]])
    bart, mbart = right_model("bart").model, right_model("mbart").model
    assert isinstance(bart.decoder_input, StartToken)
    assert bart.decoder_ids(labels).tolist() == [[2, 20, 21, 2], [2, 22, 2, 31]]
    assert isinstance(mbart.decoder_input, LastTokenFirst)
    assert mbart.decoder_ids(labels).tolist() == [[30, 20, 21, 2], [31, 22, 2, 31]]


@pytest.mark.parametrize("name", ["t5", "umt5", "longt5-transient-global", "bart"])
def test_recomputed_blocks_have_the_same_gradient(name: str) -> None:
    model, texts = deepcopy(right_model(name)), random_texts(ROWS[name])
    spec = model.family.spec(model.config)
    assert isinstance(spec, Seq2SeqSpec)
    model.train()
    for module in model.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0
    gradients = []
    for recompute in (False, True):
        if recompute:
            model.gradient_checkpointing_enable()
        torch.manual_seed(0)
        model.zero_grad()
        model(**texts.inputs(), labels=texts.decoder_ids).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for whole, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, whole)


def test_a_table_of_sinusoids_that_the_file_lacks_is_computed(tmp_path: Path) -> None:
    row = ROWS["pegasus"]
    model = type(right_model("pegasus")).from_config(right_model("pegasus").config)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.encoder.embed_positions.weight"
    table = tensors.pop(name)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again.get_buffer("model.encoder.stem.positions.weight"), table)
    texts = random_texts(row)
    with torch.no_grad():
        assert torch.equal(again(**texts.inputs()).logits, model.eval()(**texts.inputs()).logits)
    del tensors["model.encoder.layer_norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingWeightsError, match="layer_norm"):
        type(model).from_pretrained(tmp_path)


def test_an_output_is_its_own_where_the_file_says_so(tmp_path: Path) -> None:
    model = deepcopy(right_model("t5-gated"))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    same = type(model).from_pretrained(tmp_path)
    assert same.lm_head.weight is same.get_input_embeddings().weight
    save_file(
        {**tensors, "lm_head.weight": tensors["shared.weight"] * 2},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    apart = type(model).from_pretrained(tmp_path)
    assert torch.equal(apart.lm_head.weight, 2 * apart.get_input_embeddings().weight)
    apart.tie_weights()
    assert torch.equal(apart.lm_head.weight, 2 * apart.get_input_embeddings().weight)
    apart.save_pretrained(tmp_path / "again")
    assert "lm_head.weight" in load_file(tmp_path / "again" / "model.safetensors")


@pytest.mark.parametrize("name", ["bart", "t5", "marian"])
def test_the_vocabulary_grows_everywhere(name: str) -> None:
    model, texts = deepcopy(right_model(name)), random_texts(ROWS[name])
    with torch.no_grad():
        before = model(**texts.inputs()).logits
        model.resize_token_embeddings(101)
        after = model(**texts.inputs()).logits
    assert after.shape[-1] == 101
    assert torch.equal(after[..., :96], before)
    encoder, decoder = model.get_encoder().embed_tokens, model.get_decoder().embed_tokens
    assert encoder.weight is decoder.weight is model.lm_head.weight
    model.set_input_embeddings(torch.nn.Embedding(101, encoder.embedding_dim))
    assert model.get_encoder().embed_tokens.weight is model.lm_head.weight is decoder.weight


def test_layers_are_left_out_while_training_only() -> None:
    right = right_model("bart")
    spec = right.family.spec(right.config)
    model = type(right)(right.config, replace(spec, decoder=replace(spec.decoder, layer_dropout=1.0)))
    texts = random_texts(ROWS["bart"])
    model.train()
    assert len(model(**texts.inputs(), output_hidden_states=True).decoder_hidden_states) == 1
    model.eval()
    states = model(**texts.inputs(), output_hidden_states=True).decoder_hidden_states
    assert len(states) == 1 + len(spec.decoder.blocks)


def test_crossed_layers_are_what_they_say() -> None:
    spec = right_model("bart").family.spec(right_model("bart").config)
    assert all(isinstance(block, Crossed) for block in spec.decoder.blocks)
    assert isinstance(
        find_family("marian").spec(right_model("marian").config).encoder.embed.positions, SinusoidTable
    )


@pytest.mark.parametrize("row", SEQ2SEQ_ROWS, ids=lambda row: row.name)
def test_exported_file_has_the_same_logits(
    row: Seq2SeqRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts = right_model(row.name), random_texts(row)
    model.save_pretrained(tmp_path)
    module = ModuleType("exported")
    monkeypatch.setitem(sys.modules, "exported", module)  # where dataclasses look up their module
    exec(compile(export_code(model.config), f"exported_{row.name}.py", "exec"), module.__dict__)
    exported = module.load(str(tmp_path))
    cache = exported.new_cache()
    with torch.no_grad():
        expected = model(**texts.inputs()).logits
        whole = exported(texts.ids, texts.decoder_ids, attention_mask=texts.mask)
        steps = [
            exported(texts.ids, part, attention_mask=texts.mask, cache=cache)
            for part in texts.decoder_ids.split(4, dim=1)
        ]
    assert relative_error(whole, expected) < 1e-5
    assert relative_error(torch.cat(steps, dim=1), expected) < 1e-5
