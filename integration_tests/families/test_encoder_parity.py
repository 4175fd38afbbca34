"""Every encoder family against the peer: a row of `encoder_rows` each, all laws for each row and each head."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import hf_modeling
from hf_modeling.families import find_family
from hf_modeling.families.family import Task
from hf_modeling.model import PreTrainedModel
from integration_tests.families.encoder_rows import ENCODERS, FIRST, LABELS, EncoderRow
from integration_tests.families.oracle import fill, random_ids, relative_error

pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
CUT = 4  # how many tokens the shorter row lacks
OF_TOKENS = ("last_hidden_state", "start_logits", "end_logits", "prediction_logits")
"""Outputs with a row for each token whatever the task."""
TOKEN_TASKS = ("masked-lm", "token-classification", "replaced-tokens", "table-question-answering")
"""Tasks whose `logits` have a row for each token."""
SAME = {"sop_logits": "seq_relationship_logits"}
QUICK = {"bert-1", "roberta-1", "deberta-v2-1", "modernbert-2", "longformer-1", "big_bird-1", "tapas-1"}
"""Rows that are run with every change; the others are slow only because they are many."""
CASES = [
    pytest.param((row, task), id=f"{row.name}-{task}", marks=() if row.name in QUICK else pytest.mark.slow)
    for row in ENCODERS
    for task in find_family(row.model_type).classes
]
CHOICES = 3
FAR_BELOW = -5_000.0
"""Scores below are of tokens that cannot be an answer."""


@dataclass(frozen=True)
class Pair:
    """The peer's model with random weights, the folder it was saved to, and ours from there."""

    row: EncoderRow
    task: Task
    peer: nn.Module
    folder: Path
    ours: PreTrainedModel


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    row, task = request.param
    return built(row, task, tmp_path_factory.mktemp(row.name))


def built(row: EncoderRow, task: Task, folder: Path) -> Pair:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    name = find_family(row.model_type).classes[task]
    labels = {} if task in ("question-answering", "next-sentence", "pretraining") else {"num_labels": LABELS}
    config = transformers.AutoConfig.for_model(row.model_type, **row.arguments, **labels)
    config._attn_implementation = "eager"
    with warnings.catch_warnings():
        # Some of the peer's modules script functions when they are imported, which torch calls outdated.
        warnings.simplefilter("ignore", DeprecationWarning)
        peer_class = getattr(transformers, name)
    peer = peer_class(config).eval()
    vary(peer)
    peer.save_pretrained(folder)
    return Pair(row, task, peer, folder, getattr(hf_modeling, name).from_pretrained(folder))


def vary(peer: nn.Module) -> None:
    """Random weights with norms around one: through norms near zero, texts would all come out alike."""
    built = {name: tensor.clone() for name, tensor in peer.state_dict().items()}
    fill(peer)
    with torch.no_grad():
        for name, tensor in peer.state_dict().items():
            if name.endswith("embed_positions.weight"):
                tensor.copy_(built[name])  # sines and cosines, which are no weights
            elif tensor.ndim == 1 and name.endswith("weight"):
                tensor.add_(1.0)


def inputs(row: EncoderRow, rows: int, *, seed: int = 1) -> dict[str, Tensor]:
    """Token ids and whatever else the family reads."""
    generator = torch.Generator().manual_seed(seed)
    given = {"input_ids": random_ids(rows, row.length, seed=seed)}
    if row.separators is not None:
        given["input_ids"][:, [2, 3, 8]] = row.separators
    if row.tables:
        kinds = [torch.randint(0, n, (rows, row.length), generator=generator) for n in row.tables]
        given["token_type_ids"] = torch.stack(kinds, dim=-1)
    elif row.segments:
        given["token_type_ids"] = torch.randint(0, row.segments, (rows, row.length), generator=generator)
    for name, most in row.more.items():
        if name == "bbox":
            corners = torch.randint(0, most // 2, (rows, row.length, 4), generator=generator)
            given[name] = corners + torch.tensor([0, 0, most // 2, most // 2])
        else:
            given[name] = torch.randint(0, most + 1, (rows, row.length), generator=generator)
    return given


def labels(task: Task, rows: int, length: int) -> dict[str, Tensor]:
    """What the task's loss is reckoned from."""
    match task:
        case "base":
            return {}
        case "masked-lm":
            return {
                "labels": random_ids(rows, length, seed=7).masked_fill(torch.arange(length) % 3 > 0, -100)
            }
        case "token-classification":
            return {"labels": torch.arange(rows * length).view(rows, length) % LABELS}
        case "replaced-tokens":
            return {"labels": torch.arange(rows * length).view(rows, length) % 2}
        case "question-answering":
            return {"start_positions": torch.arange(rows) + 2, "end_positions": torch.arange(rows) + 7}
        case "table-question-answering":
            cells = torch.arange(rows * length).view(rows, length) % 4 == 0
            return {"labels": cells.long(), "aggregation_labels": torch.arange(rows) % 3}
        case "next-sentence":
            return {"labels": torch.arange(rows) % 2}
        case "multiple-choice":
            return {"labels": torch.arange(rows) % CHOICES}
        case _:
            return {"labels": torch.arange(rows) % LABELS}


def asked(pair: Pair, rows: int, *, seed: int = 1) -> dict[str, Tensor]:
    """Inputs of the task: for choices, those of each choice."""
    if pair.task != "multiple-choice":
        return inputs(pair.row, rows, seed=seed)
    # The peer's ERNIE does not bring further inputs of choices into one batch.
    flat = inputs(replace(pair.row, more={}), rows * CHOICES, seed=seed)
    # Nor does its ModernBERT reckon means of choices without a mask.
    flat["attention_mask"] = torch.ones_like(flat["input_ids"])
    return {name: tensor.view(rows, CHOICES, *tensor.shape[1:]) for name, tensor in flat.items()}


def run(model: nn.Module, given: Mapping[str, Tensor], **more: bool) -> Mapping[str, Tensor]:
    with torch.no_grad():
        output = model(**given, **more)
    return {SAME.get(name, name): output[name] for name in output.keys()}  # noqa: SIM118  # not a dict


def padding(name: str, like: Tensor, axis: int) -> Tensor:
    """What a tokenizer puts where there is nothing: some token, and zeros for what is said of it."""
    return torch.full_like(like.narrow(axis, 0, CUT), 1 if name == "input_ids" else 0)


def beside(tensor: Tensor, blank: Tensor, side: str, axis: int) -> Tensor:
    return torch.cat((tensor, blank) if side == "right" else (blank, tensor), dim=axis)


def error(actual: Tensor, expected: Tensor) -> float:
    """The relative error where an answer may be; what is pushed far below all others must be so in both."""
    open_ = expected > FAR_BELOW
    assert torch.equal(actual > FAR_BELOW, open_)
    return relative_error(actual[open_], expected[open_])


def compare(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        for mine, its in zip(
            *((x,) if isinstance(x, Tensor) else x for x in (ours[name], expected)), strict=True
        ):
            assert error(mine, its) < TOLERANCE, name


@pytest.mark.parametrize("pair", CASES, indirect=True)
class TestEachHead:
    """One model of the peer for each row and task, compared in every way."""

    def test_outputs_and_loss_equal_the_peer(self, pair: Pair) -> None:
        given = asked(pair, 2) | labels(pair.task, 2, pair.row.length)
        if "num_aggregation_labels" not in pair.row.arguments:
            given.pop("aggregation_labels", None)
        if pair.task == "pretraining":
            word = "sentence_order_label" if pair.row.model_type == "albert" else "next_sentence_label"
            given = given | labels("masked-lm", 2, pair.row.length) | {word: torch.tensor([0, 1])}
        theirs = run(pair.peer, given)
        ours = run(pair.ours, given)
        assert ("loss" in ours) == (pair.task != "base")
        compare(ours, theirs)

    def test_padding_changes_nothing(self, pair: Pair) -> None:
        if pair.row.blocks:
            pytest.skip("where blocks begin is told by padding too")
        given, length = asked(pair, 1), pair.row.length
        axis = given["input_ids"].ndim - 1
        short = {name: tensor.narrow(axis, 0, length - CUT) for name, tensor in given.items()}
        expected = run(pair.peer, short)
        for side in ("right", "left"):
            padded = {
                name: beside(tensor, padding(name, tensor, axis), side, axis)
                for name, tensor in short.items()
            }
            real = torch.zeros_like(padded["input_ids"])
            kept = slice(0, length - CUT) if side == "right" else slice(CUT, length)
            real[..., kept] = 1
            for name, tensor in run(pair.ours, padded | {"attention_mask": real}).items():
                per_token = name in OF_TOKENS or (name == "logits" and pair.task in TOKEN_TASKS)
                actual = tensor[:, kept] if per_token else tensor
                # Sums over a longer row are taken in another order.
                assert error(actual, expected[name]) < 2 * TOLERANCE, (side, name)

    def test_saved_files_are_the_peers_files(self, pair: Pair, tmp_path: Path) -> None:
        pair.ours.save_pretrained(tmp_path)
        ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, pair.folder))
        assert pair.ours.load_report is not None
        # An untied projection has two biases on disk, of which one is read.
        read = theirs.keys() - pair.ours.load_report.ignored.keys()
        assert set(ours) == read
        assert all(torch.equal(ours[name], theirs[name]) for name in read)
        again = type(pair.peer).from_pretrained(tmp_path).eval()  # type: ignore[attr-defined]  # a peer class
        given = asked(pair, 1)
        compare(run(again, given), run(pair.peer, given))


@pytest.mark.parametrize("row", ENCODERS, ids=lambda row: row.name)
def test_every_layer_equals_the_peer(row: EncoderRow, tmp_path: Path) -> None:
    pair = built(row, "base", tmp_path)
    given = inputs(row, 2)
    theirs = run(pair.peer, given, output_hidden_states=True, output_attentions=True)
    ours = run(pair.ours, given, output_hidden_states=True, output_attentions=True)
    # The peer leaves its own padding, to whole blocks, in the states of layers.
    theirs = {**theirs, "hidden_states": tuple(h[:, : row.length] for h in theirs["hidden_states"])}
    other = {"cross_attentions", "global_attentions", *(() if row.attentions else ("attentions",))}
    compare(*({name: t for name, t in side.items() if name not in other} for side in (ours, theirs)))
    assert {"hidden_states", "last_hidden_state"} <= ours.keys()


@pytest.mark.parametrize("row", [row for row in ENCODERS if row.blocks], ids=lambda row: row.name)
def test_blocks_with_padding_equal_the_peer(row: EncoderRow, tmp_path: Path) -> None:
    pair = built(row, "base", tmp_path)
    real = (torch.arange(row.length) < torch.tensor([[row.length], [17]])).long()
    theirs, ours = (run(side, inputs(row, 2) | {"attention_mask": real}) for side in (pair.peer, pair.ours))
    for kept in (slice(0, 1), slice(1, 2)):
        shown = real[kept][0].bool()
        mine, its = (side["last_hidden_state"][kept][:, shown] for side in (ours, theirs))
        assert relative_error(mine, its) < TOLERANCE


@pytest.mark.parametrize("row", FIRST, ids=lambda row: row.model_type)
def test_backends_agree(row: EncoderRow, tmp_path: Path) -> None:
    pair = built(row, "base", tmp_path)
    real = (torch.arange(row.length) < torch.tensor([[row.length], [9]])).long()
    given = inputs(row, 2) | {"attention_mask": real}
    results = []
    for backend in ("eager", "sdpa"):
        pair.ours.set_attn_implementation(backend)
        results.append(run(pair.ours, given)["last_hidden_state"])
    for mine, its in zip(*results, strict=True):
        assert relative_error(mine[:9], its[:9]) < TOLERANCE


HEADED = [row for row in FIRST if len(find_family(row.model_type).classes) > 1]


@pytest.mark.parametrize("row", HEADED, ids=lambda row: row.model_type)
def test_gradients_equal_the_peer(row: EncoderRow, tmp_path: Path) -> None:
    family = find_family(row.model_type)
    task: Task = "masked-lm" if "masked-lm" in family.classes else "sequence-classification"
    pair = built(row, task, tmp_path)
    given = inputs(row, 2) | labels(task, 2, row.length)
    results = []
    for side in (pair.peer, pair.ours):
        side(**given).loss.backward()
        table = side.get_input_embeddings().weight.grad  # type: ignore[operator,union-attr]  # both have it
        norm = torch.stack([p.grad.norm() for p in side.parameters() if p.grad is not None]).norm()
        results.append((table, norm))
    for mine, its in zip(results[1], results[0], strict=True):
        assert relative_error(mine, its) < TOLERANCE * 10


@pytest.mark.parametrize(
    "changes",
    [
        {"average_approximation_function": "ratio"},
        {"average_approximation_function": "first_order", "use_normalized_answer_loss": True},
        {"average_approximation_function": "second_order", "answer_loss_cutoff": 0.3, "temperature": 1.5},
        {"disable_per_token_loss": True, "aggregation_temperature": 2.0, "answer_loss_importance": 3.0},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_tables_are_learned_from_answers_as_by_the_peer(changes: dict[str, object], tmp_path: Path) -> None:
    row = next(row for row in ENCODERS if row.name == "tapas-1")
    weak = {"use_answer_as_supervision": True, "cell_selection_preference": 0.8, "huber_loss_delta": 0.9}
    pair = built(
        replace(row, arguments={**row.arguments, **weak, **changes}), "table-question-answering", tmp_path
    )
    given = inputs(row, 3) | {"labels": labels("table-question-answering", 3, row.length)["labels"]}
    given["labels"][2] = 0
    numbers = torch.arange(3.0 * row.length).view(3, row.length) / 7
    given["numeric_values"] = numbers.masked_fill(torch.arange(row.length) % 3 == 0, float("nan"))
    given["numeric_values_scale"] = torch.ones(3, row.length) + torch.arange(row.length) % 2
    given["float_answer"] = torch.tensor([2.5, float("nan"), 7.0])
    compare(run(pair.ours, given), run(pair.peer, given))
