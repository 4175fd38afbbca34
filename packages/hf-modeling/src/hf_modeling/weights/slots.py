"""Where a model keeps its weights: every parameter and saved buffer by name, and which names share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn


@final
@dataclass(frozen=True, slots=True)
class Slot:
    """One place for a tensor: attribute `name` of module `owner`, whose dotted name is `path`."""

    owner: nn.Module
    path: str
    name: str
    is_parameter: bool

    @property
    def tensor(self) -> Tensor:
        """What is there now."""
        found = (self.owner._parameters if self.is_parameter else self.owner._buffers)[self.name]
        assert found is not None, "absent parameters have no slot"
        return found

    def put(self, tensor: Tensor) -> None:
        """Put a tensor there; one that is no parameter yet becomes one, trainable if it is floating point."""
        if not self.is_parameter:
            self.owner._buffers[self.name] = tensor
        elif isinstance(tensor, nn.Parameter):
            self.owner._parameters[self.name] = tensor
        else:
            trainable = tensor.is_floating_point() or tensor.is_complex()
            self.owner._parameters[self.name] = nn.Parameter(tensor, requires_grad=trainable)


def find_slots(model: nn.Module, prefix: str = "") -> tuple[dict[str, Slot], dict[str, str]]:
    """What a checkpoint fills, by `prefix` + dotted name, and ties: a name to the first of its kind."""
    slots: dict[str, Slot] = {}
    ties: dict[str, str] = {}
    first: dict[int, str] = {}
    for path, owner in model.named_modules(remove_duplicate=False):
        dotted = f"{prefix}{path}." if path else prefix
        entries = [(name, tensor, True) for name, tensor in owner._parameters.items()]
        entries += [
            (name, tensor, False)
            for name, tensor in owner._buffers.items()
            if name not in owner._non_persistent_buffers_set
        ]
        for name, tensor, is_parameter in entries:
            if tensor is None:
                continue
            slots[dotted + name] = Slot(owner, path, name, is_parameter)
            if (original := first.setdefault(id(tensor), dotted + name)) != dotted + name:
                ties[dotted + name] = original
    return slots, ties
