"""A Trainer whose numbers can be trusted.

This version defines the joint that training is spread over devices through: the `Strategy` Protocol and the
registry of installed strategies.
"""

from hf_train.strategies import SingleDevice, Strategy, UnknownStrategyError, strategies, strategy

__all__ = ["SingleDevice", "Strategy", "UnknownStrategyError", "strategies", "strategy"]
