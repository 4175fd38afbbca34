"""The strategies that installed packages bring, and the one a run's arguments ask for.

A package registers a strategy under the entry-point group `hf_train.strategies`: a name, and a callable that
takes the options a user wrote after it. So hf-train and hf-parallel meet without importing each other.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

from hf_config.errors import suggest
from hf_hub_io.errors import HfError
from hf_train.arguments.values import options as named_options
from hf_train.strategies.ddp import DataParallel, DdpOptions
from hf_train.strategies.protocol import Strategy
from hf_train.strategies.single import SingleDevice

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

GROUP: Final = "hf_train.strategies"


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


def strategy_for(args: TrainingArguments) -> Strategy:
    """The strategy that the arguments and the launcher ask for.

    `parallel` names one, and `parallelism_config` gives degrees to that of hf-parallel; `fsdp`, and `deepspeed` by
    its ZeRO stage, shard with FSDP2; otherwise one process trains alone and several train data parallel.
    """
    if args.parallel:
        # "fsdp:reshard=never" names the strategy; "dp_shard=2,tp=2" alone is for the one of hf-parallel.
        name, _, rest = args.parallel.rpartition(":")
        return strategy(name or "parallel", rest) if "=" in rest or name else strategy(rest)
    if args.parallelism_config:
        degrees = named_options(args.parallelism_config, "parallelism_config")
        return strategy("parallel", ",".join(f"{name}={degree}" for name, degree in degrees.items()))
    place = args.launch
    if args.fsdp:
        from hf_train.strategies.fsdp import FsdpOptions, FullyShardedData

        return FullyShardedData(FsdpOptions.of(named_options(args.fsdp_config, "fsdp_config"), args), place)
    if args.deepspeed:
        from hf_train.strategies.fsdp import FsdpOptions, FullyShardedData

        return FullyShardedData(FsdpOptions.of_zero(named_options(args.deepspeed, "deepspeed"), args), place)
    if place.world == 1:
        return SingleDevice(place.device)
    return DataParallel(
        DdpOptions(
            find_unused_parameters=bool(args.ddp_find_unused_parameters),
            bucket_cap_mb=args.ddp_bucket_cap_mb,
            broadcast_buffers=args.ddp_broadcast_buffers is not False,
            static_graph=bool(args.ddp_static_graph),
            backend=args.ddp_backend,
            timeout=args.ddp_timeout_delta,
        ),
        place,
    )
