"""What a training run is at one moment: its state, and the wishes callbacks have expressed about what comes next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from hf_config.errors import suggest
from hf_hub_io import JsonValue, atomic_write_json, read_json_object
from hf_hub_io.errors import HfError

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

TRAINER_STATE_NAME = "trainer_state.json"
Logs = dict[str, JsonValue]
"""One record of figures by name."""


class CallbackError(HfError, ValueError):
    """A callback cannot do its work with these arguments, or its state does not fit."""


class TrainerStateError(HfError, ValueError):
    """A `trainer_state.json` that does not describe a training run."""


@runtime_checkable
class ExportableState(Protocol):
    """A callback whose memory belongs into checkpoints.

    `state()` gives `{"args": keyword arguments of the constructor, "attributes": what is set afterwards}`, both
    plain JSON. A callback restored from it goes on as if training had not been interrupted.
    """

    def state(self) -> dict[str, dict[str, JsonValue]]:
        """Constructor arguments and attributes, JSON values."""
        ...


@dataclass(kw_only=True)
class TrainerControl:
    """Switches by which callbacks steer the loop; the loop resets each when it has been obeyed.

    Attributes:
        should_training_stop: end training after this step. Reset when a training begins.
        should_epoch_stop: end this epoch after this step. Reset when an epoch begins.
        should_save, should_evaluate, should_log: do so after this step. Reset when a step begins.
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def state(self) -> dict[str, dict[str, JsonValue]]:
        """The switches as the peer writes them under `stateful_callbacks`."""
        return {"args": dict(dataclasses.asdict(self)), "attributes": {}}


@dataclass(kw_only=True)
class TrainerState:
    """Where a run stands; written to every checkpoint as `trainer_state.json`, readable by the peer.

    A step is one update of the weights, however many batches were accumulated for it.

    Attributes:
        epoch: epochs done, with the part of the current one.
        logging_steps, eval_steps, save_steps: intervals in steps, resolved from shares of the run.
        train_batch_size: rows per device; differs from the argument if a smaller size had to be found.
        total_flos: floating-point operations so far.
        log_history: every record logged, with its `step`.
        stateful_callbacks: what `ExportableState` callbacks remember, by class name.
    """

    epoch: float = 0
    global_step: int = 0
    max_steps: int = 0
    logging_steps: int = 500
    eval_steps: int = 500
    save_steps: int = 500
    train_batch_size: int | None = None
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0
    log_history: list[Logs] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, JsonValue] | None = None
    stateful_callbacks: dict[str, JsonValue] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JsonValue]:
        """All fields, by name."""
        return {part.name: getattr(self, part.name) for part in dataclasses.fields(self)}

    def save_to_json(self, path: str | Path) -> None:
        """Write the state to `path`; a reader sees the old file or the new one."""
        atomic_write_json(path, self.to_dict(), sort_keys=True)

    @classmethod
    def load_from_json(cls, path: str | Path) -> Self:
        """The state that was written to `path`, by this Trainer or the peer's.

        Raises TrainerStateError naming a field that is unknown or of the wrong kind.
        """
        return cls.from_dict(read_json_object(Path(path)), source=str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, JsonValue], *, source: str = "the state") -> Self:
        """The state with these fields; `source` is named in errors."""
        state = cls()
        known = {part.name for part in dataclasses.fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise TrainerStateError(
                    f"{source} has the field {name!r}, which is unknown{suggest(name, known)}"
                )
            default = getattr(state, name)
            if not _fits(default, value):
                raise TrainerStateError(
                    f"{source}: {name} is {value!r}, expected a value like {default!r}",
                    fix="resume from another checkpoint",
                )
            setattr(state, name, value)
        return state

    def compute_steps(self, args: TrainingArguments, max_steps: int) -> None:
        """Resolve the intervals of `args`: below 1 they are shares of `max_steps`, rounded up."""
        self.logging_steps = _interval(args.logging_steps, max_steps, self.logging_steps)
        self.eval_steps = _interval(args.eval_steps, max_steps, self.eval_steps)
        self.save_steps = _interval(args.save_steps, max_steps, self.save_steps)

    def remember(self, callbacks: Iterable[object]) -> None:
        """Collect what every `ExportableState` among `callbacks` remembers, to be saved with the state."""
        collected: dict[str, JsonValue] = {}
        for callback in callbacks:
            if not isinstance(callback, ExportableState):
                continue
            name, memory = type(callback).__name__, _json(callback.state())
            present = collected.get(name)
            if present is None:
                collected[name] = memory
            else:  # several of one class: a list in their order
                collected[name] = [*(present if isinstance(present, list) else [present]), memory]
        self.stateful_callbacks = collected


def _json(state: dict[str, dict[str, JsonValue]]) -> JsonValue:
    return {name: dict(values) for name, values in state.items()}


def _interval(value: float | None, max_steps: int, default: int) -> int:
    if value is None:
        return default
    return math.ceil(max_steps * value) if value < 1 else int(value)


def _fits(default: object, value: JsonValue) -> bool:
    """Whether `value` may stand where `default` stands; a field that is None by default takes None or a value."""
    if default is None:
        return True
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(default))
