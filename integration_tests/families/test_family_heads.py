"""The heads of every decoder family against the peer: classification of rows and tokens, answers in a text."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hf_modeling import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from hf_modeling.families import find_family, model_types
from integration_tests.families.oracle import LENGTH, fill, random_ids, relative_error
from integration_tests.families.tiny_configs import QUICK, ROWS, Row

pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
AUTO = {
    "sequence-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
}
LABELS = 5


def cases() -> Iterator[tuple[Row, str]]:
    """The first row of each family with each head that it has."""
    known, seen = set(model_types()), set[str]()
    for row in ROWS:
        if row.model_type in known - seen:
            seen.add(row.model_type)
            yield from ((row, task) for task in AUTO if task in find_family(row.model_type).classes)


@pytest.mark.parametrize(
    ("row", "task"),
    [
        pytest.param(row, task, id=f"{row.name}-{task}", marks=() if row.name in QUICK else pytest.mark.slow)
        for row, task in cases()
    ],
)
def test_head_equals_the_peer(row: Row, task: str, tmp_path: Path) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    arguments = row.arguments if task == "question-answering" else {**row.arguments, "num_labels": LABELS}
    config = transformers.AutoConfig.for_model(row.model_type, **arguments)
    peer_class = getattr(transformers, f"AutoModelFor{task.title().replace('-', '')}")
    peer = peer_class.from_config(config, dtype=torch.float32).eval()
    fill(peer)
    peer.save_pretrained(tmp_path)
    ours = AUTO[task].from_pretrained(tmp_path)  # type: ignore[attr-defined]  # each of the three has it
    assert type(ours).__name__ == type(peer).__name__

    ids, labels = random_ids(1, LENGTH), _labels(task)
    with torch.no_grad():
        theirs, mine = peer(input_ids=ids, **labels), ours(ids, **labels)
    assert relative_error(mine.loss, theirs.loss) < TOLERANCE
    names = ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
    for name in names:
        assert relative_error(getattr(mine, name), getattr(theirs, name)) < TOLERANCE

    # The same row with padding behind it says the same.
    padded = torch.cat([ids, torch.full((1, 3), 3)], dim=1)
    mask = torch.tensor([[1] * LENGTH + [0] * 3])
    with torch.no_grad():
        behind = ours(padded, attention_mask=mask)
    for name in names:
        logits = getattr(behind, name)
        logits = logits if task == "sequence-classification" else logits[:, :LENGTH]
        assert relative_error(logits, getattr(theirs, name)) < TOLERANCE


def _labels(task: str) -> dict[str, torch.Tensor]:
    if task == "question-answering":
        return {"start_positions": torch.tensor([2]), "end_positions": torch.tensor([7])}
    if task == "token-classification":
        return {"labels": torch.arange(LENGTH)[None] % LABELS}
    return {"labels": torch.tensor([3])}
