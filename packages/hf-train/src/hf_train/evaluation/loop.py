"""One pass over a dataset: loss, predictions as far as somebody reads them, and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hf_train.data.loaders import row_count
from hf_train.errors import MetricError
from hf_train.evaluation.collect import Collected, check_size
from hf_train.evaluation.gather import dealt, gather_rows
from hf_train.evaluation.metrics import StreamingMetric
from hf_train.losses import rows_of
from hf_train.outputs import EvalLoopOutput, EvalPrediction

if TYPE_CHECKING:
    from hf_train.trainer import Trainer


class Evaluation:
    """What one pass accumulates. Metric functions see everything at its end, streaming ones each batch.

    keep: whether predictions are wanted even if no metric reads them.
    """

    def __init__(
        self,
        trainer: Trainer,
        total: int | None,
        *,
        keep: bool,
        loss_only: bool,
        ignore_keys: Sequence[str] | None,
    ) -> None:
        args, metric = trainer.args, trainer.compute_metrics
        self.trainer, self.total, self.loss_only = trainer, total, loss_only
        self.ignore_keys = ignore_keys
        self.streaming = metric if isinstance(metric, StreamingMetric) else None
        self.batchwise = args.batch_eval_metrics and metric is not None and self.streaming is None
        self.collecting = not loss_only and (keep or (self.streaming is None and not self.batchwise))
        self.wants_inputs, self.wants_losses = (
            name in args.include_for_metrics for name in ("inputs", "loss")
        )
        stay = args.eval_accumulation_steps or 1
        self.parts = {
            name: Collected(join=args.eval_do_concat_batches, keep=stay)
            for name in ("predictions", "label_ids", "inputs", "losses")
        }
        self.rows = 0
        self.loss = torch.zeros((), dtype=torch.float64)
        self.items = 0.0
        self.batch_metrics: Mapping[str, float] = {}
        if self.streaming is not None:
            self.streaming.reset()

    def add(self, batch: Mapping[str, Any], counts: bool, last: bool) -> None:
        """Compute a batch and take in what it gives."""
        trainer, strategy = self.trainer, self.trainer.strategy
        loss, logits, labels = trainer.prediction_step(
            trainer.model, dict(batch), self.loss_only, ignore_keys=self.ignore_keys
        )
        if loss is not None and counts:
            items = trainer.loss_rule.items(batch)
            if items:
                self.loss += items * loss.double().cpu()
                self.items += items
        rows = rows_of(batch)
        if logits is not None and trainer.preprocess_logits_for_metrics is not None:
            logits = trainer.preprocess_logits_for_metrics(logits, labels)
        seen = gather_rows({"predictions": logits, "label_ids": labels}, strategy, counts)
        if self.wants_inputs:
            name = trainer.main_input_name
            seen["inputs"] = gather_rows(batch[name].to(strategy.device), strategy, counts)
        if self.wants_losses and loss is not None:
            seen["losses"] = gather_rows(loss.detach().repeat(rows), strategy, counts)
        if strategy.world > 1:
            rows = int(strategy.total(torch.tensor(rows if counts else 0)).item())
        if not self.rows and self.collecting:
            check_size(seen, rows, self.total)
        self.rows += rows
        self._show(seen, last)

    def finish(self, prefix: str) -> EvalLoopOutput:
        """Predictions, labels, metrics named `{prefix}_...`, and how many rows there were."""
        trainer, strategy = self.trainer, self.trainer.strategy
        sums = torch.stack([self.loss, torch.tensor(self.items, dtype=torch.float64)])
        if strategy.world > 1:
            sums = strategy.total(sums).cpu()
        arrays = {name: part.arrays() for name, part in self.parts.items()} if self.collecting else {}
        predictions, labels = arrays.get("predictions"), arrays.get("label_ids")
        metrics = dict(self.batch_metrics)
        compute = trainer.compute_metrics
        if self.streaming is not None and not self.loss_only:
            metrics = numbers(self.streaming.compute(), self.streaming)
        elif compute is not None and not self.batchwise and predictions is not None and labels is not None:
            seen = EvalPrediction(predictions, labels, arrays.get("inputs"), arrays.get("losses"))
            metrics = numbers(_called(compute, seen), compute)
        if float(sums[1]):
            metrics["loss"] = float(sums[0] / sums[1])
        named = {n if n.startswith(f"{prefix}_") else f"{prefix}_{n}": v for n, v in metrics.items()}
        return EvalLoopOutput(predictions, labels, named, self.rows)

    def _show(self, seen: dict[str, Any], last: bool) -> None:
        """Give a batch to whoever reads it."""
        known = seen["predictions"] is not None and seen["label_ids"] is not None
        prediction = EvalPrediction(
            seen["predictions"], seen["label_ids"], seen.get("inputs"), seen.get("losses")
        )
        if self.streaming is not None and known:
            _called(self.streaming.update, prediction)
        if self.batchwise and known:
            compute = self.trainer.compute_metrics
            result = _called(compute, prediction, compute_result=last)
            if last:
                self.batch_metrics = numbers(result, compute)
        if self.collecting:
            for name, values in seen.items():
                if values is not None:
                    self.parts[name].add(values)


def evaluate_loader(
    trainer: Trainer,
    loader: Iterable[Any],
    *,
    keep: bool,
    loss_only: bool,
    prefix: str,
    ignore_keys: Sequence[str] | None = None,
) -> EvalLoopOutput:
    """Pass over the batches of `loader`, all processes together; every row counts once."""
    dataset = loader.dataset if isinstance(loader, DataLoader) else None
    evaluation = Evaluation(
        trainer, row_count(dataset), keep=keep, loss_only=loss_only, ignore_keys=ignore_keys
    )
    for (batch, counts), last in _with_last(dealt(loader, trainer.strategy)):
        evaluation.add(batch, counts, last)
        trainer.event("on_prediction_step")
    return evaluation.finish(prefix)


def numbers(metrics: object, source: object) -> dict[str, float]:
    """Metrics as Python numbers. Raises MetricError for what is not numbers by name."""
    if not isinstance(metrics, Mapping):
        raise MetricError(
            f"{_name(source)} returned a {type(metrics).__name__}, expected numbers by name",
            fix="return a dict such as {'accuracy': 0.9}",
        )
    plain: dict[str, float] = {}
    for name, value in metrics.items():
        item = getattr(value, "item", None)
        if (item is not None and getattr(value, "size", 1) in (1, ())) or isinstance(value, Tensor):
            value = item() if item is not None else value
        plain[str(name)] = value
    return plain


def _called(function: Any, *given: object, **named: object) -> object:
    try:
        return function(*given, **named)
    except Exception as error:
        raise MetricError(
            f"{_name(function)} raised {type(error).__name__}: {error}",
            fix="look at the error above this one; the batches reach it as EvalPrediction",
        ) from error


def _name(function: object) -> str:
    owner = getattr(function, "__self__", None)
    if owner is not None:
        return f"the metric {type(owner).__name__}"
    return f"the metric function {getattr(function, '__name__', type(function).__name__)}"


def _with_last(batches: Iterator[tuple[Any, bool]]) -> Iterator[tuple[tuple[Any, bool], bool]]:
    """Each batch, and whether it is the last one."""
    before = next(batches, None)
    for batch in batches:
        assert before is not None
        yield before, False
        before = batch
    if before is not None:
        yield before, True


def perplexity(loss: float) -> float:
    """e to the mean loss of a token, infinite where that is beyond a float."""
    return math.exp(loss) if loss < 700 else math.inf
