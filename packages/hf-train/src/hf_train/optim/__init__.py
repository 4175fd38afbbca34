"""Optimizers: by name with `make_optimizer`, or as classes."""

from hf_train.optim.adafactor import Adafactor
from hf_train.optim.adam_variants import AdEMAMix, AnyPrecisionAdamW, StableAdamW
from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State
from hf_train.optim.errors import OptimizerError
from hf_train.optim.factory import OPTIMIZERS, make_optimizer, parse_options
from hf_train.optim.groups import as_groups, hidden_matrices, linear_weights, split_groups
from hf_train.optim.layerwise import Layerwise
from hf_train.optim.lion import Lion
from hf_train.optim.low_rank import ApolloAdamW, GaLoreAdamW
from hf_train.optim.muon import Muon
from hf_train.optim.schedule_free import (
    ScheduleFree,
    ScheduleFreeAdamW,
    ScheduleFreeRAdam,
    ScheduleFreeSGD,
)

__all__ = [
    "OPTIMIZERS",
    "AdEMAMix",
    "Adafactor",
    "AnyPrecisionAdamW",
    "ApolloAdamW",
    "GaLoreAdamW",
    "Group",
    "Layerwise",
    "Lion",
    "Muon",
    "OptimizerError",
    "Parameters",
    "PerTensorOptimizer",
    "ScheduleFree",
    "ScheduleFreeAdamW",
    "ScheduleFreeRAdam",
    "ScheduleFreeSGD",
    "StableAdamW",
    "State",
    "as_groups",
    "hidden_matrices",
    "linear_weights",
    "make_optimizer",
    "parse_options",
    "split_groups",
]
