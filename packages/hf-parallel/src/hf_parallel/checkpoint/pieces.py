"""A rank's weights and optimizer state as pieces of whole tensors, and the optimizer's settings by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor
from torch.optim import Optimizer

from hf_hub_io.jsonio import JsonValue
from hf_modeling.model import PreTrainedModel
from hf_parallel.checkpoint.boxes import Piece
from hf_parallel.errors import CheckpointMismatchError
from hf_parallel.gradients import local
from hf_parallel.parallel import Parallel
from hf_parallel.placements import Holding
from hf_parallel.save import own_tensors

MODEL = "model."
OPTIMIZER = "optimizer."
SCALAR = Holding(region=(), places=())
HOW_IT_RUNS = frozenset({"params", "foreach", "fused", "capturable"})
"""Settings that are this run's own choice, and may differ from layout to layout."""


def weight_pieces(parallel: Parallel[PreTrainedModel]) -> list[Piece]:
    """Parameters and saved buffers; a table that two stages hold has one name."""
    plan = parallel.plan
    return [
        Piece(
            name=MODEL + plan.ties.get(name, name),
            shape=plan.shapes[name],
            held=parallel.held[name],
            local=local(tensor.detach()),
        )
        for name, tensor in own_tensors(parallel).items()
    ]


def optimizer_pieces(parallel: Parallel[PreTrainedModel], optimizer: Optimizer) -> list[Piece]:
    """The optimizer's tensors: each is a number, or has the shape of its parameter.

    Raises CheckpointMismatchError for others.
    """
    pieces = []
    for name, parameter in parallel.named_parameters():
        for kind, value in optimizer.state.get(parameter, {}).items():
            pieces.append(state_piece(parallel, name, kind, value, parameter))
    return pieces


def state_piece(
    parallel: Parallel[PreTrainedModel], name: str, kind: str, value: object, parameter: Tensor
) -> Piece:
    """One tensor of an optimizer's state."""
    stored = f"{OPTIMIZER}{kind}.{parallel.plan.ties.get(name, name)}"
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        held, shape = parallel.held[name], parallel.plan.shapes[name]
        return Piece(name=stored, shape=shape, held=held, local=local(value.detach()))
    if isinstance(value, Tensor) and value.ndim == 0:
        return Piece(name=stored, shape=(), held=SCALAR, local=value.detach())
    raise CheckpointMismatchError(
        f"the optimizer's {kind!r} of {name} is neither a number nor of its parameter's shape, so no other "
        f"layout could have it",
        fix="use an optimizer whose state is element by element, such as AdamW, or save weights alone",
    )


def settings_by_name(
    parallel: Parallel[PreTrainedModel], optimizer: Optimizer
) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """The optimizer's settings for each of this rank's parameters."""
    names = {parameter: parallel.plan.ties.get(name, name) for name, parameter in parallel.named_parameters()}
    for group in optimizer.param_groups:
        settings = {name: _plain(value) for name, value in group.items() if name not in HOW_IT_RUNS}
        for parameter in group["params"]:
            yield names[parameter], settings


def grouped(
    settings: Sequence[tuple[str, Mapping[str, JsonValue]]],
) -> list[tuple[Mapping[str, JsonValue], tuple[str, ...]]]:
    """Names that have the same settings together."""
    found: dict[str, tuple[Mapping[str, JsonValue], dict[str, None]]] = {}
    for name, values in settings:
        found.setdefault(json.dumps(values, sort_keys=True), (values, {}))[1][name] = None
    return [(values, tuple(names)) for values, names in found.values()]


def _plain(value: object) -> JsonValue:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            number: float = value.item()
            return number
        case tuple() | list():
            return [_plain(one) for one in value]
        case _:
            raise CheckpointMismatchError(
                f"a setting of the optimizer is a {type(value).__name__}, which has no place in a checkpoint",
                fix="keep numbers and text in param_groups",
            )
