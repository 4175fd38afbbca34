"""A run that was interrupted and resumed ends with the bits of one that was not."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_train import ResumeError, Trainer, TrainerCallback, TrainingArguments
from hf_train.checkpoint import CheckpointCorruptError, checkpoint_folder, last_complete
from hf_train.data import DataState, Feed, Plain, StatefulBatches, train_loader
from hf_train.strategies import SingleDevice
from hf_train.testing import Rows, Stream, quiet, same_weights, tiny_llama, token_rows, weights_of

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class _StopAfter(TrainerCallback):
    """Saves and ends training after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class StatefulStream(torch.utils.data.IterableDataset[Any]):
    """Counts what it reads, so that a test can see whether resuming reads everything again."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.next, self.resumed_at = rows, 0, 0
        self.read = 0

    def __iter__(self) -> Any:
        self.next, self.resumed_at = self.resumed_at, 0
        while self.next < len(self.rows):
            self.next += 1
            self.read += 1
            yield self.rows[self.next - 1]

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.resumed_at = state_dict["next"]


def _run(
    folder: Path, data: Any, *, stop: int | None = None, resume: bool = False, **changes: Any
) -> Trainer:
    args = quiet(folder, **{"num_train_epochs": 3, "lr_scheduler_type": "cosine", **changes})
    callbacks = [] if stop is None else [_StopAfter(stop)]
    trainer = Trainer(tiny_llama(dropout=0.1), args, train_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer


def _logs(trainer: Trainer) -> list[tuple[Any, ...]]:
    """What was logged of each step; the summary's times differ from run to run."""
    rows = [log for log in trainer.state.log_history if "loss" in log]
    return [(log["step"], log["loss"], log["grad_norm"], log["learning_rate"], log["epoch"]) for log in rows]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["map", "stream"])
@pytest.mark.parametrize(
    "stops", [(2,), (5,), (2, 4), (8,)], ids=["mid-epoch", "second epoch", "twice", "after epoch 2"]
)
def test_resumed_run_has_the_bits_of_an_uninterrupted_one(
    tmp_path: Path, kind: str, workers: int, stops: tuple[int, ...]
) -> None:
    rows = token_rows(24)
    settings: dict[str, Any] = {"dataloader_num_workers": workers, "gradient_accumulation_steps": 2}
    if kind == "stream":
        # Streams have no length: steps decide, and the stream begins anew when it is over.
        settings["max_steps"] = 9
    make = Rows if kind == "map" else Stream
    whole = _run(tmp_path / "whole", make(rows, noise=True), **settings)
    assert whole.state.global_step == 9
    for number, stop in enumerate(stops):
        broken = _run(tmp_path / "broken", make(rows, noise=True), stop=stop, resume=number > 0, **settings)
        assert broken.state.global_step == stop
    resumed = _run(tmp_path / "broken", make(rows, noise=True), resume=True, **settings)
    assert same_weights(weights_of(whole.model), weights_of(resumed.model))
    assert _logs(whole) == _logs(resumed)


def test_workers_do_not_change_what_is_trained_on(tmp_path: Path) -> None:
    runs = [
        _run(
            tmp_path / str(workers),
            Rows(token_rows(16), noise=True),
            dataloader_num_workers=workers,
            max_steps=5,
        )
        for workers in (0, 2)
    ]
    assert same_weights(weights_of(runs[0].model), weights_of(runs[1].model))


@pytest.mark.parametrize("sampling", ["group_by_length", "batch_rebalance", "sequential"])
def test_every_order_resumes(tmp_path: Path, sampling: str) -> None:
    rows = [row for n in (5, 9, 14) for row in token_rows(8, length=n, masked=False)]
    data = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in rows]

    def run(folder: Path, **more: Any) -> Trainer:
        stop = more.pop("stop", None)
        args = quiet(
            folder, save_strategy="steps", save_steps=1, max_steps=8, train_sampling_strategy=sampling
        )
        trainer = Trainer(
            tiny_llama(),
            args,
            train_dataset=data,
            data_collator=_padded,
            callbacks=[] if stop is None else [_StopAfter(stop)],
        )
        trainer.train(**more)
        return trainer

    whole = run(tmp_path / "whole")
    run(tmp_path / "broken", stop=3)
    resumed = run(tmp_path / "broken", resume_from_checkpoint=True)
    assert same_weights(weights_of(whole.model), weights_of(resumed.model))


def _padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    return {
        name: torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])
        for name, value in fill.items()
    }


def test_stateful_stream_is_not_read_again(tmp_path: Path) -> None:
    rows = token_rows(40)
    whole = _run(tmp_path / "whole", StatefulStream(rows), max_steps=10)
    _run(tmp_path / "broken", StatefulStream(rows), max_steps=10, stop=6)
    data = StatefulStream(rows)
    resumed = _run(tmp_path / "broken", data, max_steps=10, resume=True)
    assert same_weights(weights_of(whole.model), weights_of(resumed.model))
    assert data.read == 16


def test_step_a_million_is_reached_in_two_seconds() -> None:
    class Numbers(torch.utils.data.Dataset[int]):
        def __getitem__(self, number: int) -> int:
            return number

        def __len__(self) -> int:
            return 3_000_000

    args = TrainingArguments("unused", use_cpu=True, per_device_train_batch_size=2)
    loader = train_loader(Numbers(), list, args, SingleDevice("cpu"), batch_size=2)
    feed = Feed(loader, seed=args.seed, batch_rows=2)
    start = time.perf_counter()
    batches = feed.epoch_from(0, DataState(epoch=0, batches=1_000_000))
    batch = next(batches)
    assert time.perf_counter() - start < 2
    expected = StatefulBatches(Plain(rows=3_000_000, batch_size=2, seed=args.seed)).rows(1_000_000)
    assert tuple(batch) == expected


def test_epoch_ends_are_neither_lost_nor_repeated(tmp_path: Path) -> None:
    rows = token_rows(8)
    settings: dict[str, Any] = {"num_train_epochs": 3, "logging_strategy": "epoch"}
    whole = _run(tmp_path / "whole", rows, **settings)
    _run(tmp_path / "broken", rows, stop=4, **settings)
    resumed = _run(tmp_path / "broken", rows, resume=True, **settings)
    assert [log["step"] for log in whole.state.log_history] == [2, 4, 6, 6]
    assert [log["step"] for log in resumed.state.log_history if "loss" in log] == [2, 4, 6]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"per_device_train_batch_size": 2},
            "a step had 4 rows when the checkpoint was saved, and has 2 now",
        ),
        ({"ema_decay": 0.9}, "has no ema.pt: ema_decay is set, and the checkpoint was saved without it"),
        ({"fp16": True}, "has no scaler.pt: fp16 is set"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    _run(tmp_path, token_rows(24), stop=2)
    with pytest.raises(ResumeError, match=says):
        _run(tmp_path, token_rows(24), resume=True, **changes)


def test_damaged_checkpoint_is_refused_by_name_and_passed_over_otherwise(tmp_path: Path) -> None:
    _run(tmp_path, token_rows(24), save_strategy="steps", save_steps=1, max_steps=2)
    damaged = checkpoint_folder(tmp_path, 2)
    (damaged / "optimizer.pt").write_bytes(b"no")
    with pytest.raises(CheckpointCorruptError, match=r"optimizer\.pt"):
        Trainer(tiny_llama(), quiet(tmp_path), train_dataset=token_rows(24)).train(str(damaged))
    assert last_complete(tmp_path) == checkpoint_folder(tmp_path, 1)


def test_changed_dataset_is_refused(tmp_path: Path) -> None:
    _run(tmp_path, token_rows(24), stop=2)
    with pytest.raises(ResumeError, match="trained on a dataset of 24 rows, and this one has 20"):
        _run(tmp_path, token_rows(20), resume=True)


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="holds no complete checkpoint"):
        _run(tmp_path, token_rows(8), resume=True)


def test_model_only_checkpoint_says_so(tmp_path: Path) -> None:
    _run(tmp_path, token_rows(8), stop=2, save_only_model=True)
    with pytest.raises(ResumeError, match="without the state of its training"):
        _run(tmp_path, token_rows(8), resume=True)


def test_batch_size_may_be_traded_for_accumulation(tmp_path: Path) -> None:
    _run(tmp_path, token_rows(24), stop=2, gradient_accumulation_steps=2)
    resumed = _run(tmp_path, token_rows(24), resume=True, per_device_train_batch_size=8)
    assert resumed.state.global_step == 9


def test_async_save_writes_what_synchronous_save_writes(tmp_path: Path) -> None:
    runs = {
        kind: _run(
            tmp_path / kind,
            token_rows(16),
            async_save=kind == "async",
            max_steps=3,
            save_strategy="steps",
            save_steps=1,
        )
        for kind in ("sync", "async")
    }
    assert same_weights(weights_of(runs["sync"].model), weights_of(runs["async"].model))
    for step in (1, 2, 3):
        manifests = [
            json.loads((checkpoint_folder(tmp_path / kind, step) / "checkpoint_manifest.json").read_text())
            for kind in ("sync", "async")
        ]
        same = {"model.safetensors", "scheduler.pt", "config.json", "data_state.pt"}
        for name in same:
            assert manifests[0]["files"][name] == manifests[1]["files"][name], name
