"""Where a rank's numbers come from: a checkpoint read in part, tensors at hand, or a random start."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Protocol, final
from zlib import crc32

import torch
from torch import Tensor, nn

from hf_modeling.init import allocate, initialize
from hf_modeling.weights.ops import Same
from hf_modeling.weights.plan import LoadPlan, Step
from hf_modeling.weights.source import Source
from hf_parallel.pull import pull
from hf_parallel.regions import Region, numel, take


class Weights(Protocol):
    """Parameters by their names in memory, any part of each."""

    bytes_read: int

    def read(self, name: str, region: Region) -> Tensor:
        """The part, in the element type it is stored in; it may share the file's memory."""
        ...


@final
class CheckpointWeights:
    """A checkpoint's tensors through the weight table's rules; only the parts that are asked for are touched."""

    def __init__(self, source: Source, plan: LoadPlan, prefix: str, ties: Mapping[str, str]) -> None:
        self.bytes_read = 0
        self._source = source
        self._made_by: dict[str, tuple[Step, int]] = {
            name.removeprefix(prefix): (step, number)
            for step in plan.steps
            for number, name in enumerate(step.outputs)
        }
        for name, owner in ties.items():  # a checkpoint may keep a shared weight under either name
            if name in self._made_by:
                self._made_by.setdefault(owner, self._made_by[name])

    def read(self, name: str, region: Region) -> Tensor:
        step, number = self._made_by[name]

        def rows(index: int, wanted: Region) -> Tensor:
            tensor = self._source.read(step.inputs[index])
            self.bytes_read += numel(wanted) * tensor.element_size()
            return take(tensor, wanted)

        if isinstance(step.rule.op, Same):
            return rows(number, region)
        shapes = [tuple(self._source.shapes[input]) for input in step.inputs]
        return pull(step.rule.op, shapes, number, region, rows)


@final
class TensorWeights:
    """Whole tensors in memory, such as a model's `state_dict`."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.bytes_read = 0
        self._tensors = tensors

    def read(self, name: str, region: Region) -> Tensor:
        part = take(self._tensors[name].detach(), region)
        self.bytes_read += part.numel() * part.element_size()
        return part


@final
class RandomWeights:
    """A random start that is the same on every layout: each module of the whole model has a seed of its own.

    model: the whole model without memory. One module at a time is made whole, and the parts asked for are kept.
    """

    def __init__(self, model: nn.Module, std: float, seed: int) -> None:
        self.bytes_read = 0
        self._model, self._std, self._seed = model, std, seed
        self._made: tuple[str, nn.Module] | None = None

    def read(self, name: str, region: Region) -> Tensor:
        path, _, leaf = name.rpartition(".")
        if self._made is None or self._made[0] != path:
            self._made = (path, self._start(path))
        tensor = (
            self._made[1].get_parameter(leaf) if self._is_parameter(leaf) else self._made[1].get_buffer(leaf)
        )
        return take(tensor.detach(), region)

    def _is_parameter(self, leaf: str) -> bool:
        assert self._made is not None, "read makes it"
        return leaf in self._made[1]._parameters

    def _start(self, path: str) -> nn.Module:
        module = deepcopy(self._model.get_submodule(path))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(crc32(f"{self._seed}/{path}".encode()))
            allocate(module, torch.device("cpu"))
            initialize([module], std=self._std)
        return module
