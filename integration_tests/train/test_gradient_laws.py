"""However the rows of a step are cut, its gradient is the same: accumulation, processes, packing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_train import Trainer, TrainerCallback
from hf_train.collators import DataCollatorWithFlattening
from hf_train.testing import quiet, same_weights, tiny_classifier, tiny_llama, token_rows

SCRIPT = Path(__file__).with_name("one_step.py")
Found = dict[str, Any]


def _launch(folder: Path, launcher: list[str], *options: str, fails: bool = False) -> Found:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, str(SCRIPT), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-4000:]
    return {} if fails else torch.load(folder / "found.pt", weights_only=True)


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = [
    # Its option for machines with several processors starts one process; this one starts two, and finds no GPU.
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """One process, sixteen rows in one batch."""
    return _launch(tmp_path_factory.mktemp("single"), [], "--batch", "16")


def _close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    assert left
    for name, value in left.items():
        scale = float(value.abs().max()) or 1.0
        assert float((value - right[name]).abs().max()) <= tolerance * scale, name


def _losses(found: Found) -> list[float]:
    return [log["loss"] for log in found["history"] if "loss" in log]


def _eval(found: Found) -> float:
    return next(log["eval_loss"] for log in found["history"] if "eval_loss" in log)


@pytest.mark.parametrize(
    ("launcher", "options"),
    [
        pytest.param([], ("--batch", "8", "--accumulate", "2"), id="two batches"),
        pytest.param([], ("--batch", "1", "--accumulate", "16"), id="sixteen batches"),
        pytest.param(TORCHRUN, ("--batch", "8"), id="two processes, torchrun"),
        pytest.param(TORCHRUN, ("--batch", "4", "--accumulate", "2"), id="two processes, two batches each"),
        pytest.param(ACCELERATE, ("--batch", "8"), id="two processes, accelerate"),
        pytest.param(TORCHRUN, ("--batch", "8", "--fsdp"), id="two processes, sharded"),
    ],
)
def test_a_step_is_the_same_however_it_is_cut(
    single: Found, tmp_path: Path, launcher: list[str], options: tuple[str, ...]
) -> None:
    found = _launch(tmp_path, launcher, *options)
    assert found["world"] == (2 if launcher else 1)
    _close(single["gradients"], found["gradients"], 1e-6)
    _close(single["weights"], found["weights"], 1e-4)
    assert _losses(found) == pytest.approx(_losses(single), rel=1e-6)
    assert _eval(found) == pytest.approx(_eval(single), rel=1e-6)


@pytest.mark.parametrize("options", [(), ("--fsdp",)], ids=["ddp", "fsdp"])
def test_two_processes_resume_and_another_number_of_them_does_too(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    whole = _launch(tmp_path / "whole", TORCHRUN, "--batch", "8", "--steps", "4", *options)
    _launch(tmp_path / "broken", TORCHRUN, "--batch", "8", "--steps", "4", "--stop", "2", *options)
    resumed = _launch(tmp_path / "broken", TORCHRUN, "--batch", "8", "--steps", "4", "--resume", *options)
    assert same_weights(whole["weights"], resumed["weights"])
    assert _losses(resumed) == _losses(whole)
    alone = _launch(tmp_path / "broken", [], "--batch", "16", "--steps", "4", "--resume")
    _close(resumed["weights"], alone["weights"], 1e-4)


class _Gradients(TrainerCallback):
    def __init__(self) -> None:
        self.found: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        self.found = {n: p.grad.clone() for n, p in context["model"].named_parameters() if p.grad is not None}


def _gradients(
    folder: Path, model: Any, rows: list[dict[str, Any]], **settings: Any
) -> dict[str, torch.Tensor]:
    keep = _Gradients()
    collate = settings.pop("collate", None)
    loss = settings.pop("compute_loss_func", None)
    args = quiet(folder, max_steps=1, max_grad_norm=0.0, train_sampling_strategy="sequential", **settings)
    trainer = Trainer(
        model, args, train_dataset=rows, callbacks=[keep], data_collator=collate, compute_loss_func=loss
    )
    trainer.train()
    return keep.found


def test_packed_rows_have_the_gradient_of_rows_by_themselves(tmp_path: Path) -> None:
    rows = [row for n in (5, 9, 12, 7) for row in token_rows(4, length=n, seed=n)]
    apart = _gradients(
        tmp_path, tiny_llama(), rows, per_device_train_batch_size=1, gradient_accumulation_steps=16
    )
    packed = _gradients(
        tmp_path,
        tiny_llama(),
        rows,
        per_device_train_batch_size=16,
        collate=DataCollatorWithFlattening(),
        remove_unused_columns=False,
    )
    _close(apart, packed, 1e-6)


def _token_sum(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    logits = outputs["logits"][:, :-1].flatten(0, 1)
    return (
        torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum")
        / num_items_in_batch
    )


LABELS = {
    "classes": lambda number: number % 3,
    "regression": lambda number: number / 7,
    "several": lambda number: [float(number % 2), float(number % 3 == 0), 0.0],
}


@pytest.mark.parametrize("kind", sorted(LABELS))
def test_every_classifier_loss_accumulates(tmp_path: Path, kind: str) -> None:
    rows = [
        {"input_ids": row["input_ids"], "labels": LABELS[kind](number)}
        for number, row in enumerate(token_rows(12))
    ]
    found = [
        _gradients(
            tmp_path,
            tiny_classifier(labels=1 if kind == "regression" else 3),
            rows,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=12 // batch,
        )
        for batch in (12, 4)
    ]
    _close(found[0], found[1], 1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing_factor": 0.2},
        {"compute_loss_func": _token_sum},
        {"activation_checkpointing": True},
        {
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"every_n_layers": 2, "offload": True},
        },
    ],
    ids=["smoothed", "of the caller", "recomputed", "recomputed and offloaded"],
)
def test_other_ways_to_a_loss_accumulate(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows = token_rows(12)
    found = [
        _gradients(
            tmp_path,
            tiny_llama(),
            rows,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=12 // batch,
            **settings,
        )
        for batch in (12, 3)
    ]
    _close(found[0], found[1], 1e-6)


class _MeanLoss(torch.nn.Module):
    """A module that knows nothing of steps: its loss is a mean over the labels of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = tiny_llama()

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.inside(input_ids).logits
        return {
            "loss": torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()),
            "logits": logits,
        }


def test_mean_losses_are_weighted_by_their_labels(tmp_path: Path) -> None:
    rows = token_rows(12)
    found = [
        _gradients(
            tmp_path,
            _MeanLoss(),
            rows,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=12 // batch,
        )
        for batch in (12, 3)
    ]
    _close(found[0], found[1], 1e-6)
