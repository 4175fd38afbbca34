"""Quantizing a model that is in memory: what a plan says will happen, and doing it layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import final

import torch
from torch import Tensor

from hf_config.quantization import QuantizationConfig
from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.plan import Step, plan_save
from hf_modeling.weights.table import WeightTable
from hf_quant.codec import Codec, Parts, Shape
from hf_quant.create import Target, choose_codecs, needs_data, units_of
from hf_quant.errors import AlreadyQuantizedError, QuantizationConfigError
from hf_quant.method import Beside, Method
from hf_quant.methods import find_method
from hf_quant.move import gathered_plain, logical
from hf_quant.places import Places
from hf_quant.quantizer import CodecQuantizer
from hf_quant.report import Line, QuantizationReport
from hf_quant.source import pack, relative_error
from hf_quant.stacking import specs_of
from hf_quant.stored import module_of
from hf_quant.swap import put_packed
from hf_quant.units import Spelling, Unit


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A weight that is to be packed: its module in memory, its shape `[..., N, K]`, and how."""

    module: str
    shape: Shape
    codec: Codec


def plan(model: PreTrainedModel, config: QuantizationConfig) -> QuantizationReport:
    """What quantizing this model with these settings would do: every weight, the decision and the bytes.

    Nothing is changed and no weight is read, so a model made `without_weights` will do. Raises
    QuantizationConfigError, PackingError, AlreadyQuantizedError.
    """
    return Conversion(model, config).predicted()


def quantize_model(
    model: PreTrainedModel, config: QuantizationConfig, *, measure: bool = True
) -> QuantizationReport:
    """Pack the weights of a plain model in place, by a method that needs no data; the receipt.

    Layers are packed one after the other, those together that a checkpoint joins. `measure`
    compares each weight with what it became. Raises CalibrationNeededError, QuantizationConfigError,
    PackingError, NonFiniteError, AlreadyQuantizedError.
    """
    method = find_method(config.quant_method)
    if method.create is None and model.quantizer is None:
        raise needs_data(method)
    conversion = Conversion(model, config)
    while sites := conversion.sites:
        conversion.round(sites[0].module, measure=measure)
    return conversion.finish()


@final
class Conversion:
    """A plain model on its way to being quantized: the layers to pack, and putting packed ones in their place.

    Calibration uses it with parts of its own; the model saves in the method's layout once it is finished.
    Raises QuantizationConfigError, PackingError, AlreadyQuantizedError.
    """

    def __init__(self, model: PreTrainedModel, config: QuantizationConfig) -> None:
        if model.quantizer is not None:
            raise AlreadyQuantizedError(
                f"the model is quantized with {model.quantizer.config.quant_method!r} already",
                fix="dequantize it first: model.dequantize()",
            )
        self.method: Method = find_method(config.quant_method)
        self.model, self.config = model, config
        self._places = Places(model)
        self._table = model.weight_table()
        where = type(model).__name__
        beside = Beside(plain=())
        self._quantizer = CodecQuantizer(
            self.method, config, beside, dtype=model.dtype, where=where, is_packed=True
        )
        self._units: dict[str, Unit] = {}
        self._plain: list[str] = []
        self._done: set[str] = set()
        self._decide()

    @property
    def sites(self) -> tuple[Site, ...]:
        """The weights that are still to be packed, in the order of the model."""
        return tuple(
            Site(module=name, shape=self._shape(name), codec=unit.codec)
            for name, unit in self._units.items()
            if name not in self._done
        )

    def plain_weight(self, module: str) -> Tensor:
        """The weight of a site, as it is."""
        return self._slot_name(module)[1].detach()

    def round(self, module: str, *, measure: bool = True) -> None:
        """Pack a site without looking at data, and with it the others that a checkpoint joins it with.

        Raises NonFiniteError, PackingError.
        """
        unit, codec = self._units[module], self._units[module].codec
        modules = [module_of(name.removeprefix(self._places.prefix)) for name in unit.memory]
        plain = [self.plain_weight(name) for name in modules]
        regroup = unit.regroup
        packed: list[Tensor] = []
        for made in regroup.to_disk:
            whole = pack(module, codec, plain[0] if regroup.is_identity else gathered_plain(plain, made))
            packed += [whole[name] for name in regroup.names]
        tensors, count = regroup.forward(packed), len(regroup.names)
        for i, (name, weight) in enumerate(zip(modules, plain, strict=True)):
            parts = dict(zip(regroup.names, tensors[i * count : (i + 1) * count], strict=True))
            error = relative_error(weight, codec, parts, tuple(weight.shape)) if measure else None
            self.put(name, parts, error=error)

    def put(self, module: str, parts: Parts, *, error: float | None = None) -> None:
        """Replace the layer of a site by one that holds these parts."""
        unit, (name, _) = self._units[module], self._slot_name(module)
        chosen = {part: parts[part] for part in unit.regroup.names}
        for place in (name, *(alias for alias, owner in self._places.ties.items() if owner == name)):
            slot = self._places.slots[place]
            put_packed(self.model, slot, unit.codec, chosen, self._shape(module), self._quantizer.dtype)
        if error is not None:
            self._quantizer.note_error(name, error)
        self._done.add(module)

    def finish(self) -> QuantizationReport:
        """The model is what it will be: choose kernels, let it save packed weights, and write the receipt."""
        if left := [site.module for site in self.sites]:
            raise QuantizationConfigError(
                f"{len(left)} layers were planned and not packed, such as {left[0]}",
                fix="put parts in every site of the conversion",
            )
        quantizer = self._quantizer
        quantizer.adopt(tuple(dict.fromkeys(self._units.values())), tuple(self._plain))
        self.model.quantizer = quantizer
        self.model.config = self.model.config.replace(quantization_config=quantizer.config)
        quantizer.finish(self.model)
        return quantizer.report

    def predicted(self) -> QuantizationReport:
        """The receipt as it will be, without errors and kernels."""
        dtype = self._quantizer.dtype
        lines: list[Line] = []
        for line in self._places.lines(self._quantizer.decisions, {}, dtype):
            unit = self._units.get(line.module)
            if unit is not None:
                specs = specs_of(unit.codec, self._shape(line.module))
                size = sum(prod(specs[n].shape) * specs[n].dtype.itemsize for n in unit.regroup.names)
                line = replace(line, codec=str(unit.codec), bytes_after=size)
            lines.append(line)
        return QuantizationReport(method=self.method.name, lines=tuple(lines))

    def _decide(self) -> None:
        """Choose a codec for every weight that the settings do not leave alone."""
        places, quantizer, method = self._places, self._quantizer, self.method
        if method.create is None and method.calibrated is None:
            raise needs_data(method)
        targets = list(_targets(self._table, places.shapes, places.ties))
        quantizer.refuse_unmatched([*(target.modules for target in targets), *places.names])
        for target in targets:
            if (reason := places.refusal(target.step.outputs, embeddings=method.embeddings)) is None:
                chosen = choose_codecs(target, method, self.config, places.outputs, quantizer.dtype)
                if not isinstance(chosen, str):
                    for unit in units_of(target, chosen, method, self.config, quantizer.dtype):
                        for name in unit.memory:
                            self._units[module_of(name.removeprefix(places.prefix))] = unit
                    quantizer.decide(target.step.outputs, "quantized", "")
                    continue
                reason = chosen
            quantizer.decide(target.step.outputs, "plain", reason)
            self._plain += target.disk

    def _shape(self, module: str) -> Shape:
        unit = self._units[module]
        names = [module_of(name.removeprefix(self._places.prefix)) for name in unit.memory]
        return unit.regroup.memory[names.index(module)]

    def _slot_name(self, module: str) -> tuple[str, Tensor]:
        """A site's weight: its name in a model with a head, and itself."""
        full = self._places.prefix + module
        name = full if full in self._places.slots else f"{full}.weight"
        return name, self._places.slots[name].tensor


def _targets(table: WeightTable, shapes: Mapping[str, Shape], ties: Mapping[str, str]) -> Iterator[Target]:
    """What the model's matrices are in its checkpoints."""
    memory = {name: shape for name, shape in shapes.items() if name not in ties}
    spelling = Spelling(table, [table.prefix])
    for saving in plan_save(table, memory):
        loading = Step(saving.rule, saving.outputs, saving.inputs)
        op = logical(saving.rule.op)
        outlines = [torch.empty(memory[name], dtype=torch.uint8, device="meta") for name in saving.inputs]
        if min(outline.ndim for outline in outlines) < 2:
            continue
        on_disk = tuple(tuple(t.shape) for t in op.inverse(outlines))
        yield Target(
            step=loading, disk=saving.outputs, shapes=on_disk, transposed=spelling.is_transposed(loading)
        )
