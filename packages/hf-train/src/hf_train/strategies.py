"""How training is spread over devices: one Protocol, and the strategies that installed packages bring.

A package registers a strategy under the entry-point group `hf_train.strategies`: a name, and a callable that
takes the options a user wrote after it. So hf-train and hf-parallel meet without importing each other.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, final

import torch
from torch import Tensor, nn

from hf_config.errors import suggest
from hf_hub_io.errors import HfError

GROUP = "hf_train.strategies"


class Strategy(Protocol):
    """What a training loop asks of the devices it runs on; the rest of it is the same for all layouts."""

    def place(self, model: nn.Module) -> nn.Module:
        """The model as training runs it: moved, wrapped or sharded. Its parameters are then final."""
        ...

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes that hold different data, equal in each of them.

        Token counts and losses go through here before anything is divided by them.
        """
        ...

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Bound the 2-norm of all gradients of the model by `max_norm`, in place; the norm before."""
        ...


@final
class SingleDevice:
    """Training in one process on one device.

    Args:
        device: a torch device such as `cuda:0`; empty for the accelerator, or the CPU where there is none.
    """

    def __init__(self, device: str = "") -> None:
        accelerator = torch.accelerator.current_accelerator() or torch.device("cpu")
        self.device = torch.device(device) if device else accelerator

    def place(self, model: nn.Module) -> nn.Module:
        """The same model, moved to the device."""
        return model.to(self.device)

    def total(self, value: Tensor) -> Tensor:
        """`value` itself: one process holds all data."""
        return value

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Clip in place; the 2-norm of all gradients before clipping, a 0-dimensional tensor."""
        return nn.utils.clip_grad_norm_(parameters, max_norm)


class UnknownStrategyError(HfError, LookupError):
    """No installed package registers the strategy that was asked for."""


def strategies() -> dict[str, EntryPoint]:
    """The strategies of all installed packages by name, found without importing them."""
    return {point.name: point for point in entry_points(group=GROUP)}


def strategy(name: str, options: str = "") -> Strategy:
    """The strategy `name` set up with `options`, text in whatever form that strategy documents.

    Raises:
        UnknownStrategyError: no installed package registers `name`.
    """
    known = strategies()
    if name not in known:
        installed = ", ".join(sorted(known))
        raise UnknownStrategyError(
            f"no training strategy is called {name!r}{suggest(name, known)} (installed: {installed})",
            fix="pip install hf-parallel, or the package that brings it",
        )
    make: Callable[[str], Strategy] = known[name].load()
    return make(options)
