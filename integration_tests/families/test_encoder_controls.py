"""Wrong facts about encoders are found: each row of this table changes one, and the output must show it."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from hf_config import config_class
from hf_modeling.classes import model_class
from hf_modeling.families import find_family
from hf_modeling.families.family import Task
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import (
    AnswerHead,
    Attention,
    Bidirectional,
    BidirectionalWindow,
    BlockSparseAttention,
    BucketBias,
    CellPositions,
    Convolved,
    DisentangledAttention,
    DistanceTable,
    Embed,
    EncoderSpec,
    GatedMlp,
    GlobalWindowAttention,
    HeadTransform,
    LayerNorm,
    LearnedPositions,
    Mlp,
    NormedSum,
    PostNorm,
    Rope,
    TableHead,
    TextHead,
)
from integration_tests.families.encoder_rows import ENCODERS, EncoderRow
from integration_tests.families.oracle import fill, random_ids, relative_error
from integration_tests.families.wrong_facts import Edit, each, having, wired

LEAST = 1e-3


@dataclass(frozen=True)
class Control:
    """One wrong fact about one row's model for a task."""

    row: str
    fact: str
    edit: Edit
    task: Task = "base"


def ordered(*order: int) -> Edit:
    """Blocks run in another order."""
    return lambda spec: replace(spec, order=order)


def unnormed(spec: EncoderSpec) -> EncoderSpec:
    """No norm after the last block."""
    return replace(spec, norm=None)


CONTROLS = [
    Control("bert-1", "no segments", having(Embed, token_types=0)),
    Control("bert-1", "no positions", having(Embed, positions=None)),
    Control("bert-1", "embeddings not normed", having(Embed, norm=None)),
    Control("bert-1", "norms on branches", wired(NormedSum, PostNorm)),
    Control("bert-1", "another activation", having(Mlp, activation="relu")),
    Control("bert-3", "another epsilon", having(LayerNorm, eps=1.0)),
    Control("roberta-1", "positions from the first row", having(LearnedPositions, offset=0)),
    Control(
        "roberta-1", "another activation", having(HeadTransform, activation="gelu"), "sequence-classification"
    ),
    Control("roberta-1", "another activation", having(HeadTransform, activation="tanh"), "masked-lm"),
    Control("electra-1", "another activation", having(HeadTransform, activation="relu"), "multiple-choice"),
    Control("electra-1", "another activation", having(HeadTransform, activation="relu"), "replaced-tokens"),
    Control(
        "distilbert-1",
        "another activation",
        having(HeadTransform, activation="gelu"),
        "sequence-classification",
    ),
    Control("albert-1", "blocks take turns", ordered(0, 1, 0, 1)),
    Control("albert-1", "each block once", ordered(0, 1)),
    Control("mpnet-1", "no bias by distance", having(Attention, alibi=None)),
    Control("mpnet-1", "farther buckets", having(BucketBias, max_distance=11)),
    Control("mpnet-1", "keys after count as here", having(BucketBias, both_ways=False)),
    Control("ernie-1", "no tasks", having(Embed, added=())),
    Control("layoutlm-1", "no boxes", having(Embed, added=())),
    Control("megatron-bert-1", "no last norm", unnormed),
    Control("xlm-roberta-xl-1", "no last norm", unnormed),
    Control(
        "deberta-v2-1",
        "contents to positions only",
        having(DisentangledAttention, terms=("content_to_position",)),
    ),
    Control("deberta-v2-1", "one term in the scale", having(DisentangledAttention, terms=())),
    Control("deberta-v2-1", "distances not normed", having(DistanceTable, norm=None)),
    Control("deberta-v2-1", "distances not in buckets", having(DistanceTable, buckets=None)),
    Control("deberta-v2-1", "farther buckets", having(DistanceTable, max_distance=40)),
    Control("deberta-v2-2", "no convolution", wired(Convolved, NormedSum)),
    Control("deberta-v2-2", "another activation", having(Convolved, activation="relu")),
    Control("modernbert-1", "a window one shorter", having(BidirectionalWindow, size=3)),
    Control("modernbert-1", "a window one longer", having(BidirectionalWindow, size=5)),
    Control("modernbert-1", "all see all", each(BidirectionalWindow, lambda rule: Bidirectional())),
    Control("modernbert-1", "another base", having(Rope, theta=500.0)),
    Control("modernbert-1", "another activation", having(GatedMlp, activation="silu")),
    Control(
        "modernbert-2",
        "the first token, not the mean",
        having(TextHead, reads="first"),
        "sequence-classification",
    ),
    Control("longformer-1", "a window one shorter", having(GlobalWindowAttention, reach=1)),
    Control(
        "longformer-1", "no global token", having(TextHead, global_tokens=None), "sequence-classification"
    ),
    Control(
        "longformer-1", "no global question", having(AnswerHead, global_tokens=None), "question-answering"
    ),
    Control(
        "tapas-1",
        "positions not counted by cell",
        each(CellPositions, lambda positions: LearnedPositions(count=positions.count)),
    ),
    Control("tapas-1", "another temperature", having(TableHead, temperature=3.0), "table-question-answering"),
    Control(
        "tapas-1", "columns of their own", having(TableHead, one_column=False), "table-question-answering"
    ),
    Control("roformer-1", "halves turned, not neighbours", having(Rope, layout="half")),
    Control("roformer-2", "values not turned", having(Attention, value_rope=None)),
    Control("roformer-1", "choices by the first token", having(TextHead, reads="first"), "multiple-choice"),
    Control("big_bird-1", "other blocks", having(BlockSparseAttention, block=3)),
    Control("big_bird-1", "the first block counts once", having(BlockSparseAttention, drawn=0)),
    Control("big_bird-1", "embeddings as they are", having(Embed, scale=None)),
    Control(
        "big_bird-1", "questions may be answers", having(AnswerHead, separator=None), "question-answering"
    ),
]


def made(row: EncoderRow, task: Task, spec: EncoderSpec | None = None) -> PreTrainedModel:
    """The row's model for a task, by its own spec or another."""
    config = config_class(row.model_type).from_dict(row.arguments)
    return model_class(find_family(row.model_type), task)(config, spec).eval()  # type: ignore[call-arg]


def output(model: PreTrainedModel, row: EncoderRow, task: Task, reads: frozenset[str]) -> Tensor:
    """What the model says of some texts, or choices, with the further inputs that it reads."""
    ids = random_ids(4, row.length)
    if row.separators is not None:
        ids[:, [2, 3, 8]] = row.separators
    more: dict[str, Tensor] = {}
    if "bbox" in row.more:
        more["bbox"] = torch.arange(4 * row.length * 4).view(4, row.length, 4) % 10 + torch.tensor(
            [0, 0, 10, 10]
        )
    elif row.more:
        more = {name: torch.ones_like(ids) for name in row.more}
    more = {name: tensor for name, tensor in more.items() if name in reads}
    if row.tables:
        kinds = [torch.arange(4 * row.length).view(4, row.length) // 3 % count for count in row.tables]
        more["token_type_ids"] = torch.stack(kinds, dim=-1)
    elif row.segments:
        more["token_type_ids"] = torch.ones_like(ids)
    given = {"input_ids": ids, **more}
    if task == "multiple-choice":
        given = {name: tensor.unflatten(0, (2, 2)) for name, tensor in given.items()}
    with torch.no_grad():
        found = model(**given).to_tuple()[0]
    assert isinstance(found, Tensor)
    return found.masked_fill(found < -5_000.0, 0.0)  # what cannot be an answer would dwarf the others


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: f"{c.row}: {c.fact} ({c.task})")
def test_a_wrong_fact_shows(control: Control) -> None:
    row = next(row for row in ENCODERS if row.name == control.row)
    right = made(row, control.task)
    fill(right)
    spec = right.family.spec(right.config)
    edited = control.edit(spec)
    assert edited != spec, "nothing was changed"
    wrong = made(row, control.task, edited)
    stored = right.state_dict()
    absent = wrong.load_state_dict({n: t for n, t in stored.items() if n in wrong.state_dict()}, strict=False)
    assert not absent.missing_keys, f"a wrong fact should need no further weights, but {absent.missing_keys}"
    actual, expected = (
        output(model, row, control.task, its.reads) for model, its in ((wrong, edited), (right, spec))
    )
    assert relative_error(actual, expected) > LEAST
