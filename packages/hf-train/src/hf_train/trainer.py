"""`Trainer`: everything needed to train a model, each part of it to be replaced by overriding a method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack, overload

import torch
from torch import Tensor, nn

from hf_train import duties, setup
from hf_train.base import TrainerBase
from hf_train.callbacks import (
    TrainerControl,
)
from hf_train.data.feed import DataState, Feed
from hf_train.data.loaders import row_count
from hf_train.duties import CardFields
from hf_train.ema import WeightAverage
from hf_train.evaluation.loop import evaluate_loader
from hf_train.evaluation.metrics import StreamingMetric
from hf_train.loop import train_epochs
from hf_train.measure import speed
from hf_train.memory import with_smaller_batches
from hf_train.model_files import load_files, save_files
from hf_train.neftune import noisy_embeddings
from hf_train.outputs import EvalLoopOutput, EvalPrediction, PredictionOutput, TrainOutput
from hf_train.precision import machine_settings
from hf_train.prediction import predict_batch
from hf_train.prepare import (
    call_model_init,
    compile_model,
    offloading,
    recompute_activations,
    seed_everything,
    use_liger,
    without_cache,
)
from hf_train.resume import restore
from hf_train.run import Run, length_of
from hf_train.saving import save_checkpoint
from hf_train.uploads import Uploads

Metric = Callable[[EvalPrediction], Mapping[str, float]] | StreamingMetric
Collator = Callable[[list[Any]], Mapping[str, Any]]


class Trainer(TrainerBase):
    """Trains a model on a dataset, evaluates it and saves it.

    ```python
    trainer = Trainer(model, TrainingArguments("out"), train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    ```

    Methods without an underscore are there to be overridden: `compute_loss`, `training_step`, `prediction_step`,
    `get_train_dataloader`, `create_optimizer`, `create_scheduler`, `evaluate`, `log`, `save_model` and others.

    Args:
        model: a model of hf-modeling, of the transformers or peft library, or any module that returns a loss.
        args: see `TrainingArguments`.
        data_collator: makes a batch of a list of rows; left out, rows are padded by the tokenizer, or stacked.
        train_dataset, eval_dataset: anything with rows by number, or a stream; for evaluation also several by name.
        processing_class: the tokenizer or processor, saved with the model.
        model_init: makes the model anew for each run, in place of `model`.
        compute_loss_func: `f(outputs, labels, num_items_in_batch=n)`, the sum of losses over n.
        compute_metrics: `f(EvalPrediction)` over everything at once, or a `StreamingMetric` for any size.
        callbacks: added to those that the arguments ask for.
        optimizers: optimizer and schedule, in place of those that the arguments name; either may be None.
        optimizer_cls_and_kwargs: an optimizer's class and arguments, for the Trainer's parameter groups.
        preprocess_logits_for_metrics: `f(logits, labels)`, what metrics see in place of the logits.

    Raises:
        ArgumentsError: what is given contradicts itself. TrainingModelError: a model that cannot be trained.
    """

    loss_is_scaled_for_ga: ClassVar[bool | None] = None
    """For overrides of `compute_loss` that do not call it: True if their loss is already divided by
    `num_items_in_batch`, False if it is a mean over the batch. None finds out whether the base did it."""

    # --- training

    def train(
        self, resume_from_checkpoint: str | Path | bool | None = None, trial: object = None
    ) -> TrainOutput:
        """Train from the beginning, or from a checkpoint: a path, or True for the last complete one.

        Raises:
            NonFiniteError: the loss or a gradient is not a number. NoLabelsError, LabelRangeError: rows that cannot
            be trained on. ResumeError, CheckpointError: a checkpoint that cannot be resumed from.
        """
        folder = setup.checkpoint_to_resume(self, resume_from_checkpoint)
        if self.model_init is not None and (trial is not None or self._placed):
            self._take_model(call_model_init(self.model_init, trial))
            self.optimizer = self.lr_scheduler = None
        with ExitStack() as settings:
            settings.enter_context(machine_settings(self.args))
            settings.enter_context(noisy_embeddings(self.model, self.args.neftune_noise_alpha))
            settings.enter_context(without_cache(self.model, self.args.use_cache))
            if self.args.auto_find_batch_size:
                return with_smaller_batches(self, lambda: self._train(folder))
            return self._train(folder)

    def _train(self, folder: Path | None) -> TrainOutput:
        args, state = self.args, duties.new_state(self)
        self.state, self.control = state, TrainerControl()
        self.memory.begin()
        seed_everything(args.seed)
        self.place()
        loader = self.get_train_dataloader()
        feed = Feed(
            loader,
            seed=args.order_seed,
            rank=self.strategy.rank,
            world=self.strategy.world,
            batch_rows=self.batch_size,
            workers=args.dataloader_num_workers,
        )
        length = length_of(args, feed, row_count(self.train_dataset))
        duties.begin_state(self, length)
        if not self._given[0]:
            self.optimizer = None
        if not self._given[1]:
            self.lr_scheduler = None
        self.create_optimizer_and_scheduler(length.max_steps)
        average = None if args.ema_decay is None else WeightAverage(self.model, args.ema_decay)
        self.run = run = Run(
            length=length,
            feed=feed,
            parameters=[p for group in self.optimizer_now.param_groups for p in group["params"]],
            average=average,
        )
        duties.introduce(self, loader)
        resumed, randomness = (DataState(), None) if folder is None else restore(self, run, folder)
        run.first_step = self.state.global_step
        run.first_tokens = self.state.num_input_tokens_seen
        run.start = time.perf_counter()
        self.is_in_train = True
        try:
            duties.training_mode(self, True)
            train_epochs(self, run, resumed, randomness)
            return self._finish(run)
        finally:
            self.is_in_train = False
            duties.release_signals(self)

    def _finish(self, run: Run) -> TrainOutput:
        """Log the summary, take the best or the averaged weights, and tell callbacks."""
        self.writer.wait()
        steps = self.state.global_step - run.first_step
        seconds = time.perf_counter() - run.start
        rows = run.length.rows * steps / max(run.length.max_steps, 1)
        metrics = speed("train", seconds, rows=rows, steps=steps)
        self.store_flops(run)
        metrics["total_flos"] = self.state.total_flos
        metrics["train_loss"] = loss = run.total_loss / max(steps - run.skipped, 1)
        self.memory.stage("train", metrics)
        self.log(metrics)
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint is not None:
            load_files(self.model, Path(self.state.best_model_checkpoint))
            duties.drop_all_but_best(self)
        elif run.average is not None:
            run.average.keep()
        self.event("on_train_end")
        if self.uploads is not None:
            self.uploads.finish()
        metrics["epoch"] = self.state.epoch
        return TrainOutput(self.state.global_step, loss, metrics)

    def place(self) -> None:
        """Bring the model to where it is trained, compile it and wrap it; once."""
        if self._placed:
            return
        recompute_activations(self.model, self.args)
        use_liger(self.model, self.args)
        compile_model(self.model, self.args)
        self.model_wrapped = self.strategy.place(self.model)
        self._placed = True

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward pass of one batch; its part of the step's loss, detached."""
        inputs = self.prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        del inputs
        share = self.share
        assert share is not None, "training_step is called within a step"
        applied = share.applied if self.loss_is_scaled_for_ga is None else self.loss_is_scaled_for_ga
        loss = loss * (share.scale if applied else share.scale * share.part)
        scaler = self.precision.scaler
        (loss if scaler is None else scaler.scale(loss)).backward()
        duties.empty_cache(self)
        return loss.detach()

    @overload
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: Literal[False] = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor: ...
    @overload
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: Literal[True],
        num_items_in_batch: Tensor | int | None = None,
    ) -> tuple[Tensor, Any]: ...
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of a batch: a sum over its labels divided by `num_items_in_batch`, or without that their mean."""
        loss, outputs = self.loss_rule(model, inputs, num_items_in_batch, logits=return_outputs)
        if self.share is not None:
            self.share.applied = self.loss_rule.normalizes and num_items_in_batch is not None
        return (loss, outputs) if return_outputs else loss

    def compute_loss_context_manager(self) -> AbstractContextManager[object]:
        """The block that losses are computed in: mixed precision, and activations kept elsewhere."""
        if not offloading(self.args) or not self.is_in_train:
            return self.precision.computing()
        stack = ExitStack()
        stack.enter_context(self.precision.computing())
        stack.enter_context(torch.autograd.graph.save_on_cpu(pin_memory=self.strategy.device.type != "cpu"))
        return stack

    def prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch on the device of this process. Raises LabelRangeError, which names the label."""
        return duties.prepared_inputs(self, inputs)

    # --- evaluation

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Sequence[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Loss and metrics on `eval_dataset`, by default the Trainer's; names begin with the prefix.

        Of several datasets by name, each is evaluated; the prefix is then `eval_{name}`. Raises MetricError.
        """
        chosen = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, dict):
            named = {
                name: self.evaluate(
                    name if eval_dataset is None else rows, ignore_keys, f"{metric_key_prefix}_{name}"
                )
                for name, rows in chosen.items()
            }
            return {key: value for metrics in named.values() for key, value in metrics.items()}
        self.memory.begin()
        start = time.perf_counter()
        loader = self.get_eval_dataloader(eval_dataset)
        output = self.evaluation_loop(
            loader,
            "Evaluation",
            prediction_loss_only=True if self.compute_metrics is None else None,
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        metrics = duties.with_speed(self, output, metric_key_prefix, time.perf_counter() - start)
        self.memory.stage("eval", metrics)
        self.log(metrics)
        self.event("on_evaluate", metrics=metrics)
        return {**metrics, "epoch": self.state.epoch}

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: Sequence[str] | None = None,
        metric_key_prefix: str = "test",
    ) -> PredictionOutput:
        """Predictions and labels on `test_dataset` as arrays, and metrics if there are labels."""
        self.memory.begin()
        start = time.perf_counter()
        output = self.evaluation_loop(
            self.get_test_dataloader(test_dataset),
            "Prediction",
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        metrics = duties.with_speed(self, output, metric_key_prefix, time.perf_counter() - start)
        self.memory.stage("test", metrics)
        self.event("on_predict", metrics=metrics)
        return PredictionOutput(output.predictions, output.label_ids, metrics)

    def evaluation_loop(
        self,
        dataloader: Iterable[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: Sequence[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """One pass over `dataloader`, with averaged weights if there are some."""
        loss_only = self.args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        average = self.run.average if self.run is not None and self.is_in_train else None
        with duties.evaluating(self, dataloader), nullcontext() if average is None else average.applied():
            return evaluate_loader(
                self,
                dataloader,
                keep=description == "Prediction",
                loss_only=loss_only,
                prefix=metric_key_prefix,
                ignore_keys=ignore_keys,
            )

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: Sequence[str] | None = None,
    ) -> tuple[Tensor | None, Any, Any]:
        """Loss, logits and labels of one batch; each None where there is none, or nobody reads it."""
        return predict_batch(self, model, inputs, prediction_loss_only, ignore_keys)

    def evaluate_now(self, run: Run, *, schedule: bool = True) -> dict[str, float]:
        """Evaluate within a run; a schedule that follows a metric is told."""
        metrics = self.evaluate()
        if schedule:
            duties.step_on_metric(self, metrics)
        return metrics

    def note_best(self, metrics: Mapping[str, float]) -> bool:
        """Remember the best metric so far; whether these metrics have it. Raises ArgumentsError if it is missing."""
        return duties.note_best(self, metrics)

    # --- what is written

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Record figures: in the state's history, and with every callback."""
        entry = {**logs, "epoch": self.state.epoch}
        if self.args.include_num_input_tokens_seen != "no":
            entry["num_input_tokens_seen"] = self.state.num_input_tokens_seen
        self.state.log_history.append({**entry, "step": self.state.global_step})
        self.event("on_log", logs=entry)

    def save_checkpoint(self, run: Run) -> Path:
        """Save everything needed to go on from here. Its folder."""
        return save_checkpoint(self, run)

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Save the model and the processing class; all processes call, the first one writes."""
        folder = Path(self.args.output_dir if output_dir is None else output_dir)
        with self.strategy.whole(self.model_wrapped):
            if self.args.should_save:
                folder.mkdir(parents=True, exist_ok=True)
                save_files(self.model, folder)
                duties.save_companions(self, folder)
        self.strategy.barrier()

    def save_state(self) -> None:
        """Write trainer_state.json into the output folder."""
        if self.args.should_save:
            duties.save_state(self)

    def log_metrics(self, split: str, metrics: Mapping[str, float]) -> None:
        """Print metrics as aligned lines."""
        if self.is_world_process_zero():
            duties.print_metrics(split, metrics)

    def save_metrics(self, split: str, metrics: Mapping[str, float], combined: bool = True) -> None:
        """Write {split}_results.json, and with `combined` add to all_results.json."""
        if self.is_world_process_zero():
            duties.save_metrics(self.output_dir, split, metrics, combined=combined)

    def push_to_hub(self, commit_message: str = "End of training") -> None:
        """Save the model with a card that tells how it was trained, and upload them. Raises as the upload does."""
        self.save_model()
        if self.args.should_save:
            self.create_model_card()
        if self.is_world_process_zero():
            (self.uploads or Uploads(self.args)).end(self.output_dir, commit_message)

    def create_model_card(self, model_name: str | None = None, **about: Unpack[CardFields]) -> None:
        """Write README.md into the output folder: how the model was trained, with what result."""
        duties.write_card(self, model_name, about)

    def store_flops(self, run: Run) -> None:
        """Add the floating-point operations since the last call to the state, over all processes."""
        flops, run.model_flops = run.model_flops, 0.0
        if self.strategy.world > 1:
            flops = float(self.strategy.total(torch.tensor(flops, dtype=torch.float64)).item())
        self.state.total_flos += flops
