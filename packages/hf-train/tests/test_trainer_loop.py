"""What a run does step by step: events, logs, numbers that are not numbers, and what its arguments change."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hf_train import (
    ArgumentsError,
    LabelRangeError,
    NoLabelsError,
    NonFiniteError,
    Trainer,
    TrainerCallback,
    TrainingDataError,
    TrainingModelError,
)
from hf_train.testing import Stream, quiet, same_weights, tiny_classifier, tiny_llama, token_rows, weights_of

EVENTS = [
    "on_init_end", "on_train_begin", "on_epoch_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
    "on_optimizer_step", "on_step_end", "on_epoch_end", "on_log", "on_evaluate", "on_prediction_step", "on_save",
    "on_train_end",
]  # fmt: skip


class Recorder(TrainerCallback):
    """Remembers the names of events, and the figures that came along."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.logs: list[dict[str, Any]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in EVENTS:

            def note(args: Any, state: Any, control: Any, **context: Any) -> None:
                self.events.append(name.removeprefix("on_"))
                if name == "on_log":
                    self.logs.append(context["logs"])

            return note
        return super().__getattribute__(name)


def _train(folder: Path, *, rows: Any = None, model: nn.Module | None = None, **settings: Any) -> Trainer:
    given = {
        name: settings.pop(name)
        for name in ("callbacks", "eval_dataset", "data_collator")
        if name in settings
    }
    trainer = Trainer(
        tiny_llama() if model is None else model,
        quiet(folder, **{"max_steps": 2, **settings}),
        train_dataset=token_rows(16) if rows is None else rows,
        **given,
    )
    trainer.train()
    return trainer


def _number(trainer: Trainer, name: str) -> float:
    """A figure of the first log."""
    value = trainer.state.log_history[0][name]
    assert isinstance(value, float)
    return value


def test_events_come_in_the_documented_order(tmp_path: Path) -> None:
    recorder = Recorder()
    _train(
        tmp_path,
        rows=token_rows(16),
        eval_dataset=token_rows(4),
        callbacks=[recorder],
        gradient_accumulation_steps=2,
        max_steps=2,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
    )
    step = ["step_begin", "substep_end", "pre_optimizer_step", "optimizer_step", "step_end"]
    due = ["log", "prediction_step", "log", "evaluate", "save"]
    expected = ["init_end", "train_begin", "epoch_begin", *step, *step, *due, "epoch_end", "log", "train_end"]
    assert recorder.events == expected


def test_log_keys_are_those_that_people_read(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = _train(
        tmp_path,
        callbacks=[recorder],
        eval_dataset=token_rows(6),
        eval_strategy="epoch",
        num_train_epochs=1,
        max_steps=-1,
        include_num_input_tokens_seen="non_padding",
    )
    first, evaluation, summary = recorder.logs[0], recorder.logs[-2], recorder.logs[-1]
    assert set(first) == {
        "loss", "grad_norm", "learning_rate", "epoch", "num_input_tokens_seen", "train_runtime",
        "train_tokens_per_second",
    }  # fmt: skip
    assert first["learning_rate"] == 1e-2, "the rate of the step itself, not of the next one"
    assert set(evaluation) == {
        "eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch",
        "num_input_tokens_seen",
    }  # fmt: skip
    assert {
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "total_flos",
        "train_loss",
    } <= set(summary)
    assert trainer.state.num_input_tokens_seen == 16 * 12
    assert trainer.state.log_history[-1]["step"] == 4


class Spoiled(nn.Module):
    """A model whose named block gives what is not a number when it is told to."""

    def __init__(self, at_step: int) -> None:
        super().__init__()
        self.inside, self.at_step, self.calls = tiny_llama(), at_step, 0
        self.inside.model.layers[1].register_forward_hook(self._spoil)

    def _spoil(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output * float("nan") if self.calls >= self.at_step else output

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, num_items_in_batch: Any = None) -> Any:
        self.calls += 1
        return self.inside(input_ids, labels=labels, num_items_in_batch=num_items_in_batch)


def test_a_loss_that_is_no_number_stops_the_run_before_the_step(tmp_path: Path) -> None:
    model = Spoiled(at_step=3)
    before: dict[str, torch.Tensor] = {}

    class Keep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            before.update(weights_of(context["model"]))

    with pytest.raises(NonFiniteError) as caught:
        _train(tmp_path, model=model, max_steps=5, train_sampling_strategy="sequential", callbacks=[Keep()])
    assert caught.value.step == 3
    assert caught.value.rows == (8, 9, 10, 11)
    assert caught.value.module == "inside.model.layers.1"
    assert same_weights(before, weights_of(model))
    assert all(p.grad is None for p in model.parameters())


def test_such_steps_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    recorder = Recorder()
    model = Spoiled(at_step=3)
    trainer = _train(tmp_path, model=model, max_steps=5, on_nonfinite="skip", callbacks=[recorder])
    assert trainer.state.global_step == 5
    logs = [log for log in recorder.logs if "grad_norm" in log]
    assert [log.get("skipped_steps", 0) for log in logs] == [0, 0, 1, 2, 3]
    assert ["loss" in log for log in logs] == [True, True, False, False, False], (
        "only what was computed is logged"
    )
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_a_gradient_that_is_no_number_names_its_parameter(tmp_path: Path) -> None:
    model = tiny_llama()
    weight = model.get_parameter("model.layers.0.mlp.up_proj.weight")
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError) as caught:
        _train(tmp_path, model=model)
    assert caught.value.module == "model.layers.0.mlp.up_proj.weight"
    assert "a gradient of step 1 is not finite" in str(caught.value)


def test_steps_without_labels_are_refused(tmp_path: Path) -> None:
    rows = [{**row, "labels": [-100] * 12} for row in token_rows(8)]
    with pytest.raises(NoLabelsError, match=r"all labels of step 1 are -100 \(rows of the dataset: "):
        _train(tmp_path, rows=rows)


def test_one_batch_without_labels_does_no_harm(tmp_path: Path) -> None:
    rows = token_rows(8)
    for row in rows[:4]:
        row["labels"] = [-100] * 12
    trainer = _train(
        tmp_path, rows=rows, gradient_accumulation_steps=2, max_steps=1, train_sampling_strategy="sequential"
    )
    assert math.isfinite(_number(trainer, "loss"))


@pytest.mark.parametrize(("wrong", "value"), [(53, 53), (-7, -7)])
def test_labels_out_of_the_vocabulary_are_named(tmp_path: Path, wrong: int, value: int) -> None:
    rows = token_rows(8, masked=False)
    rows[5]["labels"][3] = wrong
    with pytest.raises(
        LabelRangeError, match=rf"labels has {value} at row 1 of the batch, position 3 \(row 5 of"
    ):
        _train(tmp_path, rows=rows, train_sampling_strategy="sequential")


def test_class_labels_are_checked_as_well(tmp_path: Path) -> None:
    rows = [{"input_ids": row["input_ids"], "label": 3} for row in token_rows(4)]
    with pytest.raises(LabelRangeError, match="the model has 3 outputs"):
        _train(tmp_path, rows=rows, model=tiny_classifier(labels=3))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda f: _train(f, rows=[]), TrainingDataError, "has no rows"),
        (lambda f: _train(f, rows=[{"text": "a", "words": 1}]), TrainingDataError, "has the columns text, words, and"),
        (lambda f: _train(f, rows=Stream(token_rows(4)), max_steps=-1), ArgumentsError, "set max_steps"),
        (lambda f: _train(f, eval_strategy="steps"), ArgumentsError, "there is no eval_dataset"),
        (lambda f: _train(f, lr_scheduler_type="cosin"), ValueError, "did you mean 'cosine'"),
        (lambda f: _train(f, optim="adam"), ValueError, "no optimizer is called 'adam'"),
        (lambda f: Trainer(args=quiet(f)), ArgumentsError, "neither model nor model_init"),
        (lambda f: Trainer(tiny_llama().model, quiet(f)), TrainingModelError, "use a class with a head"),
        (lambda f: Trainer(tiny_llama().requires_grad_(False), quiet(f)), TrainingModelError, "no parameter"),
        (lambda f: _train(f, dataloader_drop_last=True, rows=token_rows(3)), TrainingDataError, "no whole batch"),
        (lambda f: _train(f, activation_checkpointing=True, activation_checkpointing_kwargs={"x": 1}),
         ArgumentsError, "has x"),
        (lambda f: _train(f, rows=[{"input_ids": [1, 2]}] * 4), TrainingModelError, "gave no loss for inputs"),
    ],
)  # fmt: skip
def test_bad_input_is_named(tmp_path: Path, make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make(tmp_path)


def test_stream_that_ends_for_good_is_named(tmp_path: Path) -> None:
    class Once(torch.utils.data.IterableDataset[Any]):
        def __init__(self) -> None:
            self.rows = iter(token_rows(8))

        def __iter__(self) -> Any:
            return self.rows

    with pytest.raises(TrainingDataError, match="epoch 2 has no batches, after 2 of 9 steps"):
        _train(tmp_path, rows=Once(), max_steps=9)


# --- each argument does what it says


def test_label_smoothing_is_the_formula(tmp_path: Path) -> None:
    rows = token_rows(4, masked=False)
    trainer = _train(
        tmp_path, rows=rows, max_steps=1, label_smoothing_factor=0.3, train_sampling_strategy="sequential"
    )
    ids = torch.tensor([row["input_ids"] for row in rows])
    logits = tiny_llama()(ids).logits[:, :-1]
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), label_smoothing=0.3)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_clipping_bounds_the_step_and_logs_the_norm_before(tmp_path: Path) -> None:
    norms: list[float] = []

    class Look(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            grads = [p.grad for p in context["model"].parameters() if p.grad is not None]
            norms.append(float(nn.utils.get_total_norm(grads)))

    trainer = _train(tmp_path, max_grad_norm=0.05, callbacks=[Look()])
    assert norms == pytest.approx([0.05, 0.05], rel=1e-4)
    assert _number(trainer, "grad_norm") > 0.1


def test_neftune_changes_training_and_leaves_no_hook(tmp_path: Path) -> None:
    plain, noisy = (_train(tmp_path, neftune_noise_alpha=alpha) for alpha in (None, 5.0))
    assert not same_weights(weights_of(plain.model), weights_of(noisy.model))
    assert not noisy.model.model.embed_tokens._forward_hooks  # type: ignore[union-attr]  # a module's


def test_ema_is_evaluated_and_kept_at_the_end(tmp_path: Path) -> None:
    steps: list[dict[str, torch.Tensor]] = []

    class Keep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            steps.append(weights_of(context["model"]))

    start = weights_of(tiny_llama())
    trainer = _train(tmp_path, max_steps=3, ema_decay=0.999, callbacks=[Keep()])
    expected = start
    for number, weights in enumerate(steps, start=1):
        decay = min(0.999, (1 + number) / (10 + number))
        expected = {name: torch.lerp(expected[name], weights[name], 1 - decay) for name in expected}
    for name, value in weights_of(trainer.model).items():
        torch.testing.assert_close(value, expected[name])


def test_layers_learn_at_their_own_rate(tmp_path: Path) -> None:
    trainer = _train(tmp_path, layerwise_lr_decay=0.5, lr_scheduler_type="constant")
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    rates = {
        names[id(p)].split(".layers.")[-1].split(".")[0]: group["lr"]
        for group in trainer.optimizer_now.param_groups
        for p in group["params"]
    }
    assert rates["1"] == pytest.approx(5e-3)
    assert rates["0"] == pytest.approx(2.5e-3)
    assert rates["lm_head"] == pytest.approx(1e-2)
    assert rates["model"] in (
        pytest.approx(1.25e-3),
        pytest.approx(1e-2),
    )  # embeddings, and the norm at the end


def test_biases_and_norms_do_not_decay(tmp_path: Path) -> None:
    trainer = _train(tmp_path, weight_decay=0.1)
    decayed, others = trainer.optimizer_now.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim == 2 for p in decayed["params"])
    assert all(p.ndim == 1 for p in others["params"])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch, of its own doing
def test_compiled_blocks_compute_the_same(tmp_path: Path) -> None:
    plain = _train(tmp_path)
    compiled = _train(tmp_path, torch_compile_backend="eager")
    for name, value in weights_of(plain.model).items():
        torch.testing.assert_close(value, compiled.model.get_parameter(name).detach())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_keeps_weights_and_stays_near(tmp_path: Path, precision: str) -> None:
    plain = _train(tmp_path)
    mixed = _train(tmp_path, bf16=precision == "bf16", fp16=precision == "fp16")
    assert all(p.dtype == torch.float32 for p in mixed.model.parameters())
    left, right = plain.state.log_history[1]["loss"], mixed.state.log_history[1]["loss"]
    assert left != right
    assert left == pytest.approx(right, rel=2e-2)


def test_same_seed_same_run_another_seed_another_order(tmp_path: Path) -> None:
    runs = [_train(tmp_path, seed=seed, data_seed=data) for seed, data in ((1, None), (1, None), (1, 7))]
    weights = [weights_of(run.model) for run in runs]
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


def test_full_determinism_is_put_back_afterwards(tmp_path: Path) -> None:
    seen: list[bool] = []

    class Look(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    _train(tmp_path, full_determinism=True, callbacks=[Look()])
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_smaller_batches_are_found_and_begin_from_the_same_weights(tmp_path: Path) -> None:
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = tiny_llama()

        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Any:
            if len(input_ids) > 6:
                raise torch.OutOfMemoryError("out of memory")
            return self.inside(input_ids, labels=labels)

    trainer = _train(tmp_path, model=Greedy(), per_device_train_batch_size=8, auto_find_batch_size=True)
    assert trainer.state.train_batch_size == 6
    direct = _train(tmp_path, model=Greedy(), per_device_train_batch_size=6)
    assert same_weights(weights_of(trainer.model), weights_of(direct.model))


def test_compute_loss_may_be_overridden_with_a_mean(tmp_path: Path) -> None:
    class Own(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]  # as users write it
            outputs = model(**inputs)
            return (outputs.loss, outputs) if return_outputs else outputs.loss

    weights = []
    for batch in (8, 2):
        args = quiet(tmp_path, max_steps=1, per_device_train_batch_size=batch, gradient_accumulation_steps=8 // batch,
                     train_sampling_strategy="sequential", optim="sgd")  # fmt: skip
        trainer = Own(tiny_llama(), args, train_dataset=token_rows(8))
        trainer.train()
        weights.append(weights_of(trainer.model))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-5, atol=1e-7)


def test_epochs_and_steps_agree(tmp_path: Path) -> None:
    by_epochs = _train(
        tmp_path, max_steps=-1, num_train_epochs=1.5, gradient_accumulation_steps=2, rows=token_rows(20)
    )
    assert by_epochs.state.max_steps == 5  # 3 steps an epoch: 4 batches of 5 in two, and the last alone
    assert by_epochs.state.num_train_epochs == 2


def test_model_init_makes_each_run_anew(tmp_path: Path) -> None:
    trainer = Trainer(args=quiet(tmp_path, max_steps=2), model_init=tiny_llama, train_dataset=token_rows(16))
    trainer.train()
    first = weights_of(trainer.model)
    trainer.train()
    assert same_weights(first, weights_of(trainer.model))


def test_best_weights_come_back_and_surplus_checkpoints_go(tmp_path: Path) -> None:
    losses = iter([1.0, 0.5, 0.7, 0.9])
    saved: dict[int, dict[str, torch.Tensor]] = {}

    class Told(Trainer):
        def evaluate(self, *given: Any, **named: Any) -> dict[str, float]:
            saved[self.state.global_step] = weights_of(self.model)
            return {"eval_loss": next(losses)}

    args = quiet(tmp_path, max_steps=4, eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1,
                 save_total_limit=1, load_best_model_at_end=True)  # fmt: skip
    trainer = Told(tiny_llama(), args, train_dataset=token_rows(16), eval_dataset=token_rows(4))
    trainer.train()
    assert trainer.state.best_global_step == 2
    assert trainer.state.best_metric == 0.5
    assert same_weights(weights_of(trainer.model), saved[2])
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2"]
