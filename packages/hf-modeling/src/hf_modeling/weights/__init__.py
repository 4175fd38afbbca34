"""How checkpoints lie on disk, and reading and writing them: one reversible language for every family."""

from hf_modeling.weights.ops import (
    Chain,
    Deinterleave,
    Inverse,
    Op,
    Reshape,
    Same,
    Split,
    Stack,
    Transpose,
    chain,
    concat,
)
from hf_modeling.weights.table import Drop, Rule, WeightTable, drop, renames, rule

__all__ = [
    "Chain",
    "Deinterleave",
    "Drop",
    "Inverse",
    "Op",
    "Reshape",
    "Rule",
    "Same",
    "Split",
    "Stack",
    "Transpose",
    "WeightTable",
    "chain",
    "concat",
    "drop",
    "renames",
    "rule",
]
