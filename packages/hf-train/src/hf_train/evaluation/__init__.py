"""Evaluation and prediction: every row once, in memory that does not grow with the data unless it must."""

from hf_train.evaluation.collect import Collected
from hf_train.evaluation.gather import dealt, gather_rows
from hf_train.evaluation.loop import evaluate_loader, perplexity
from hf_train.evaluation.metrics import F1, Accuracy, MeanSquaredError, StreamingMetric

__all__ = [
    "F1",
    "Accuracy",
    "Collected",
    "MeanSquaredError",
    "StreamingMetric",
    "dealt",
    "evaluate_loader",
    "gather_rows",
    "perplexity",
]
