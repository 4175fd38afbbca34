"""What a run leaves for people: curves, a page, a card; and the search for values that overflow."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hf_hub_io.card import read_card_metadata
from hf_train.arguments import TrainingArguments
from hf_train.callbacks import CallbackHandler, Logs, TrainerControl, TrainerState
from hf_train.card import training_card
from hf_train.overflow import (
    DebugUnderflowOverflow,
    OverflowCallback,
    OverflowFoundError,
    TracedBatchesDoneError,
)
from hf_train.report import CURVES_NAME, ReportError, curves, draw_curves, write_report

HISTORY: list[Logs] = [
    {"step": 10, "epoch": 0.5, "loss": 3.0, "learning_rate": 1e-3, "grad_norm": 2.0},
    {"step": 10, "epoch": 0.5, "eval_loss": 3.5, "eval_accuracy": 0.25, "eval_runtime": 1.0},
    {"step": 20, "epoch": 1.0, "loss": 2.0, "learning_rate": 0.0, "grad_norm": 1.0},
    {"step": 20, "epoch": 1.0, "eval_loss": 2.5, "eval_accuracy": 0.5, "eval_runtime": 1.0},
    {"step": 20, "epoch": 1.0, "train_runtime": 9.0, "train_loss": 2.5},
]


def state() -> TrainerState:
    return TrainerState(global_step=20, epoch=1.0, log_history=HISTORY, best_metric=2.5, best_global_step=20)


def test_curves_are_what_was_logged_at_steps() -> None:
    found = curves(HISTORY)
    assert list(found) == ["loss", "learning_rate", "grad_norm", "eval_loss", "eval_accuracy"]
    assert (found["loss"].steps, found["loss"].values) == ((10, 20), (3.0, 2.0))


def test_a_picture_and_a_page_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = write_report(tmp_path, state(), title="a <run>", arguments={"learning_rate": 1e-3}).read_text()
    picture = (tmp_path / CURVES_NAME).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert "a &lt;run&gt;" in page
    assert "data:image/png;base64," in page
    for shown in ("<th>eval_accuracy</th>", "<td>0.5</td>", "<th>learning_rate</th>", "<th>train_loss</th>"):
        assert shown in page


def test_nothing_logged_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="logging_steps"):
        draw_curves([{"step": 5, "train_runtime": 3.0}])


def test_the_card_says_what_was_done_and_measured(tmp_path: Path) -> None:
    card = training_card(
        "small",
        state(),
        {
            "learning_rate": 1e-3,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "max_steps": -1,
        },
        base_model="org/base",
        license="apache-2.0",
        tasks="text-classification",
        datasets=("rotten",),
        devices=2,
    )
    text = card.save(tmp_path).read_text()
    assert "fine-tuned version of [org/base]" in text
    assert "- rows in a step: 16" in text
    assert "| 2.0000 | 1.0000 | 20 | 2.5000 | 0.5000 |" in text
    assert "| Training loss | Epoch | Step | Validation loss | Accuracy |" in text
    assert "max_steps" not in text
    assert "- hf-train 0." in text
    assert "Not described by its authors." in text
    metadata = read_card_metadata(tmp_path / "README.md")
    assert metadata["base_model"] == "org/base"
    assert "generated_from_trainer" in str(metadata["tags"])
    assert metadata["eval_results"]


def test_a_card_without_evaluations_claims_none() -> None:
    text = training_card("small", TrainerState(global_step=3), {}).render()
    assert "trained from scratch" in text
    assert "No evaluation was run." in text
    assert "model-index" not in text


class Explodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.outer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y: torch.Tensor = self.outer(self.inner(x) * 1e30)
        return {"y": y * 1e30}


def test_the_first_module_that_overflows_is_named() -> None:
    torch.manual_seed(0)
    model = Explodes()
    DebugUnderflowOverflow(model, max_frames_to_save=2)
    with pytest.raises(OverflowFoundError) as caught:
        model(torch.ones(1, 2))
    assert caught.value.module == ""
    assert len(caught.value.frames) == 2
    assert "output.y  <- 2 not finite" in str(caught.value)
    assert not model._forward_hooks, "the hooks are gone"


def test_weights_that_are_not_finite_are_found_in_their_layer() -> None:
    model = Explodes()
    nn.init.constant_(model.inner.weight, float("nan"))
    DebugUnderflowOverflow(model)
    with pytest.raises(OverflowFoundError, match=r"batch 0: inner has a value") as caught:
        model(torch.ones(1, 2))
    assert caught.value.frames[-1].extents[0].label == "weight"


def test_batches_are_traced_and_the_run_is_stopped() -> None:
    lines: list[str] = []
    model = nn.Sequential(nn.Linear(2, 2).half().float())
    DebugUnderflowOverflow(model, trace_batch_nums=[1], abort_after_batch_num=2, report=lines.append)
    model(torch.ones(1, 2))
    assert lines == []
    model(torch.ones(1, 2))
    assert [line.splitlines()[0] for line in lines] == [
        "batch 1, 0 (Linear)",
        "batch 1, the model (Sequential)",
    ]
    with pytest.raises(TracedBatchesDoneError, match="after batch 2"):
        model(torch.ones(1, 2))


def test_half_precision_near_its_limit_is_marked() -> None:
    lines: list[str] = []
    model = nn.Identity()
    DebugUnderflowOverflow(model, trace_batch_nums=[0], report=lines.append)
    model(torch.tensor([60000.0], dtype=torch.float16))
    assert "near overflow" in lines[0]


def test_the_callback_watches_while_training() -> None:
    model = Explodes()
    handler = CallbackHandler([OverflowCallback()], model)
    args = TrainingArguments("unused")
    handler.on_train_begin(args, TrainerState(), TrainerControl())
    assert model._forward_hooks
    handler.on_train_end(args, TrainerState(), TrainerControl())
    assert not model._forward_hooks
