"""How training is spread over devices: one Protocol, what hf-train brings, and what other packages bring."""

from hf_train.strategies.ddp import DataParallel, DdpOptions
from hf_train.strategies.launch import Launch, LaunchError, launch
from hf_train.strategies.protocol import Strategy
from hf_train.strategies.registry import UnknownStrategyError, strategies, strategy, strategy_for
from hf_train.strategies.single import SingleDevice

__all__ = [
    "DataParallel",
    "DdpOptions",
    "Launch",
    "LaunchError",
    "SingleDevice",
    "Strategy",
    "UnknownStrategyError",
    "launch",
    "strategies",
    "strategy",
    "strategy_for",
]
