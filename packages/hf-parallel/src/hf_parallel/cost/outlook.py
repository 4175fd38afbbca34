"""A whole run: days for its tokens, checkpoints, and what failures take of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import final

from hf_parallel.cost.cluster import Cluster
from hf_parallel.cost.estimate import Estimate
from hf_parallel.cost.share import Measured

DAY = 86_400.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """A run of `steps`, `days` long with what goes wrong; times in seconds.

    goodput: the share of the time in which the model learns. interval: the best time between checkpoints.
    """

    steps: int
    days: float
    checkpoint_bytes: float
    checkpoint_seconds: float
    failures: float
    interval: float
    goodput: float


def outlook(
    model: Measured,
    found: Estimate,
    cluster: Cluster,
    *,
    tokens: float,
    mtbf_hours: float = 50_000.0,
    write_bandwidth: float = 1e9,
    restart: float = 600.0,
) -> Outlook:
    """What a run over `tokens` takes.

    mtbf_hours: mean time between failures of one device. write_bandwidth: bytes a second that each node stores.
    restart: seconds from a failure to the first step after it. The best interval between checkpoints is Young's,
    sqrt(2 * time of one * mean time between failures) (Communications of the ACM 17, 1974).
    """
    per_step = found.workload.tokens(found.layout)
    steps = max(1, round(tokens / per_step))
    learning = steps * found.times.step
    size = model.facts.parameters * (found.workload.weights + found.workload.optimizer)
    nodes = max(1, cluster.devices // cluster.node)
    write = size / (write_bandwidth * nodes)
    between = mtbf_hours * 3600 / cluster.devices
    interval = sqrt(2 * write * between)
    lost = write / interval + interval / (2 * between) + restart / between
    goodput = max(0.01, 1 - lost)
    days = learning / goodput / DAY
    return Outlook(
        steps=steps,
        days=days,
        checkpoint_bytes=size,
        checkpoint_seconds=write,
        failures=days * DAY / between,
        interval=interval,
        goodput=goodput,
    )
