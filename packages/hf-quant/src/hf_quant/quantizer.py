"""The one quantizer: any method, checkpoint and family, packed on disk or packed while it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import final

import torch
from torch import nn

from hf_config.quantization import QuantizationConfig
from hf_modeling.quantizer import QuantizerRequest
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import Drop, WeightTable
from hf_quant.create import Target, choose_codecs, packs_of, plain_targets, units_of
from hf_quant.errors import AlreadyQuantizedError, QuantizationConfigError
from hf_quant.fast import choose_kernels
from hf_quant.method import Beside, Method, Place, Saved
from hf_quant.methods import find_method
from hf_quant.places import Places
from hf_quant.report import Decision, QuantizationReport
from hf_quant.settings import agreed
from hf_quant.skip import reason_to_skip, unmatched
from hf_quant.source import Pack, PackedSource, Unpack
from hf_quant.stored import find_packed, module_of
from hf_quant.swap import put_plain, quantized_layers
from hf_quant.units import Unit, expected_shapes, plan_packed


def create(request: QuantizerRequest) -> CodecQuantizer:
    """The quantizer for a checkpoint: what every entry point of this package leads to.

    Raises QuantizationConfigError, AlreadyQuantizedError, CalibrationNeededError.
    """
    method = find_method(request.method)
    beside = Beside(metadata=request.metadata, read=request.sidecar)
    config = agreed(method, request)
    return CodecQuantizer(
        method,
        config,
        beside,
        dtype=request.dtype,
        where=request.where,
        is_packed=request.stored is not None and not method.on_load(config),
    )


@final
class CodecQuantizer:
    """A method set up for one model: decides about every weight, and knows how the packed ones lie on disk.

    is_packed: whether weights come packed; otherwise they are packed while they are read.
    measured: whether to compare each weight with its rounded one, for the report.
    """

    def __init__(
        self,
        method: Method,
        config: QuantizationConfig,
        beside: Beside,
        *,
        dtype: torch.dtype,
        where: str,
        is_packed: bool,
        measured: bool = False,
    ) -> None:
        self.method, self.dtype, self.where = method, dtype, where
        self.units: tuple[Unit, ...] = ()
        self._settings, self._beside = config, beside
        self._is_packed, self._measured = is_packed, measured
        self._dropped: tuple[Drop, ...] = ()
        self._decisions: dict[str, tuple[Decision, str]] = {}
        self._errors: dict[str, float] = {}
        self._report = QuantizationReport(method=method.name, lines=())

    @property
    def settings(self) -> QuantizationConfig:
        """The settings that decide about each weight."""
        return self._settings

    @property
    def config(self) -> QuantizationConfig:
        """The settings as config.json has them: what was read is what is written."""
        said = self._saved().config
        return self._settings if said is None else QuantizationConfig.from_dict(said)

    @property
    def report(self) -> QuantizationReport:
        """A line for every weight that is, or could be, packed."""
        return self._report

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text for the headers of saved files."""
        return self._saved().metadata

    @property
    def sidecars(self) -> Mapping[str, bytes]:
        """Files beside saved weights."""
        return self._saved().files

    def prepare(self, model: nn.Module, source: Source, table: WeightTable) -> tuple[Source, WeightTable]:
        """Decide about every weight, put packed layers in place, and offer the tensors that they need.

        Raises PartsMissingError, PackingError, ShapeMismatchError, QuantizationConfigError.
        """
        places = Places(model)
        if self._is_packed:
            return self._keep(places, source, table), self.table(table)
        return self._pack(places, source, table), self.table(table)

    def finish(self, model: nn.Module) -> None:
        """Choose what calculates with each packed weight, and write the report."""
        choose_kernels(layer for _, layer in quantized_layers(model))
        self.account(model)

    def table(self, table: WeightTable) -> WeightTable:
        """`table` with rules for the packed tensors before all others."""
        rules = [rule for unit in self.units for rule in unit.rules()]
        return replace(table, rules=(*rules, *self._dropped, *table.rules))

    def dequantize(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Give every layer plain weights of `dtype`."""
        put_plain(model, dtype)
        self.units = ()

    def account(self, model: nn.Module) -> None:
        """Write the report of a model as it is now."""
        lines = Places(model).lines(self._decisions, self._errors, self.dtype)
        self._report = QuantizationReport(method=self.method.name, lines=tuple(lines))

    @property
    def decisions(self) -> Mapping[str, tuple[Decision, str]]:
        """What was decided about weights, by their names in memory with a head's prefix."""
        return self._decisions

    def adopt(self, units: tuple[Unit, ...], plain: tuple[str, ...]) -> None:
        """Take over weights that were packed in memory; `plain` are the names on disk of the others."""
        self.units = units
        settings = self.method.completed(self._settings)
        written = settings.to_dict()
        if "quant_method" not in written:  # settings from a dictionary are written back as they were given
            settings = type(settings).from_dict({"quant_method": self.method.name, **written})
        self._settings = settings
        self._beside = replace(self._beside, plain=plain)

    def decide(self, names: Iterable[str], decision: Decision, reason: str) -> None:
        """Note what becomes of weights, by their names in memory with a head's prefix."""
        self._decisions.update(dict.fromkeys(names, (decision, reason)))

    def note_error(self, name: str, error: float) -> None:
        """Note a weight's relative error, by its name in memory or on disk."""
        self._errors[name] = error

    def _keep(self, places: Places, source: Source, table: WeightTable) -> Source:
        """Put what is packed where it belongs; unpack the rest while it is read."""
        if self.method.source is not None:
            source = self.method.source(source, self._beside)
        expected = expected_shapes(table, places.shapes)
        found = find_packed(source, self.method, self._settings, self._beside, expected)
        plan = plan_packed(found, source, table, places.shapes, places.why_not, places.ties, where=self.where)
        self.units, self._dropped = plan.units, plan.dropped
        unpacked: dict[str, Unpack] = {}
        for group in plan.unpacked:
            self.decide(group.memory, "unpacked", group.reason)
            for name, weight in group.weights.items():
                unpacked[name] = Unpack(source, weight, self.dtype, transposed=group.transposed)
        for unit in plan.units:
            self.decide(unit.memory, "packed", "as in the checkpoint")
            types = {part: source.dtypes[name] for part, name in found[unit.found[0]].tensors.items()}
            places.put(unit, types, self.dtype)
        parts = frozenset(tensor for weight in found.values() for tensor in weight.tensors.values())
        self._leave_plain(
            plain_targets(source, table, places.shapes, places.ties, leave_out=parts, where=self.where),
            places,
        )
        hidden = [needed for weight in unpacked.values() for needed in weight.needs]
        return PackedSource(source, unpacked, {}, hidden) if unpacked else source

    def _leave_plain(self, targets: Iterable[Target], places: Places) -> None:
        """Note why weights of a packed checkpoint are plain. Raises QuantizationConfigError."""
        skip, outputs = self.method.skip(self._settings), places.outputs
        for target in targets:
            reason = reason_to_skip(target.modules, skip, outputs)
            linear = [name for name in target.step.outputs if places.is_linear(name)]
            place = Place(module=module_of(target.disk[0]), shape=target.shapes[0])
            strict = self.method.strict
            if reason is None and linear and strict is not None and strict(self._settings, place):
                raise QuantizationConfigError(
                    f"{self.where}: quantization_config covers {module_of(target.disk[0])}, whose weight is "
                    "plain numbers in the checkpoint",
                    fix="name the layer among those that quantization_config leaves out",
                )
            self.decide(target.step.outputs, "plain", reason or "plain in the checkpoint")

    def _pack(self, places: Places, source: Source, table: WeightTable) -> Source:
        """Pack what the settings choose while it is read."""
        targets = plain_targets(source, table, places.shapes, places.ties, where=self.where)
        self._refuse_packed(source)
        self.refuse_unmatched([*(target.modules for target in targets), *places.names])
        made: dict[str, tuple[Pack, str]] = {}
        hidden: list[str] = []
        units: list[Unit] = []
        for target in targets:
            if (reason := places.refusal(target.step.outputs, embeddings=self.method.embeddings)) is not None:
                self.decide(target.step.outputs, "plain", reason)
                continue
            codecs = choose_codecs(target, self.method, self._settings, places.outputs, self.dtype)
            if isinstance(codecs, str):
                self.decide(target.step.outputs, "plain", codecs)
                continue
            new = units_of(target, codecs, self.method, self._settings, self.dtype)
            measured = self.note_error if self._measured else None
            made.update(packs_of(target, new, source, self.dtype, measured))
            hidden += target.step.inputs
            units += new
            self.decide(target.step.outputs, "quantized", "")
            for unit in new:
                places.put(unit, {}, self.dtype)
        gone = set(hidden)
        self.adopt(tuple(units), tuple(name for name in source.shapes if name not in gone))
        return PackedSource(source, {}, made, hidden)

    def refuse_unmatched(self, layers: list[tuple[str, ...]]) -> None:
        """Raises QuantizationConfigError for names in the settings that fit no layer of the model."""
        if lost := unmatched(self.method.skip(self._settings).patterns or (), layers):
            raise QuantizationConfigError(
                f"{self.where}: no layer fits {', '.join(map(repr, lost))} among the layers to leave out",
                fix="correct the names; `hft show MODEL --weights` prints the layers'",
            )

    def _refuse_packed(self, source: Source) -> None:
        packed = {name: str(dtype) for name, dtype in source.dtypes.items() if dtype in PACKINGS}
        if packed:
            name, dtype = next(iter(packed.items()))
            raise AlreadyQuantizedError(
                f"{self.where} holds packed weights already, such as {name} ({dtype.removeprefix('torch.')})",
                fix="load it without quantization_config, or start from the original checkpoint",
            )

    def _saved(self) -> Saved:
        codecs = {module_of(name): unit.codec for unit in self.units for name in unit.disk}
        return self.method.saved(self._settings, codecs, self._beside)


PACKINGS = frozenset({torch.int32, torch.int8, torch.float8_e4m3fn, torch.float8_e5m2})
"""Element types that weights have only when packed (masks of old checkpoints are bytes)."""
