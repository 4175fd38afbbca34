"""Data of training: in which order rows come, how batches are loaded, and how reading them is taken up again."""

from hf_train.data.batches import StatefulBatches
from hf_train.data.columns import KeepColumns, accepted, inner_model, keep_columns, label_names_of
from hf_train.data.feed import DataState, Feed
from hf_train.data.loaders import eval_loader, row_count, train_loader
from hf_train.data.order import LengthGrouped, Order, Plain, Rebalanced, lengths_of
from hf_train.data.stream import BatchStream, Stateful

__all__ = [
    "BatchStream",
    "DataState",
    "Feed",
    "KeepColumns",
    "LengthGrouped",
    "Order",
    "Plain",
    "Rebalanced",
    "Stateful",
    "StatefulBatches",
    "accepted",
    "eval_loader",
    "inner_model",
    "keep_columns",
    "label_names_of",
    "lengths_of",
    "row_count",
    "train_loader",
]
