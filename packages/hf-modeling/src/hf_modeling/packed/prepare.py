"""Packing a model's linear layers for inference: which ones, decided by a short probe, within memory."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from hf_modeling.layers.attention import AttentionLayer
from hf_modeling.layers.base import Linear
from hf_modeling.layers.mlp import GatedMlpLayer, JoinedMlpLayer
from hf_modeling.packed.memory import available_bytes, clean_mappings, is_mapped, release
from hf_modeling.packed.product import Packed, can_pack, pack

NARROW = 256
"""Layers with fewer inputs or outputs stay as they are: the packed call itself costs more than it saves."""
COPY_SHARE = 0.25
"""Part of the available memory that copies of weights may take which are not shown by a file."""
PROBE_LAYERS = 8
"""Layers of one shape that a probe runs through, so that weights come from memory as they do in a model."""
ROWS_PROBED = (1, 8, 64)
"""Row counts at which packed and plain products are compared."""
PROBE_ROUNDS = 3
MEAN_GAIN, LEAST_GAIN = 1.05, 0.8
"""How many times faster packed has to be on average, and at each row count. All or nothing: a layer that ran
packed for some row counts only would need its weights in memory twice."""


_DECIDED = "_hf_packing_decided"
"""Attribute of a model that was prepared: its kind, and the layers that are packed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReport:
    """What `prepare_for_inference` did."""

    packed: int = 0
    """Packed products, each of one layer or of several with the same input."""
    kept: int = 0
    """Products where the probe, or memory, decided against packing."""
    packed_bytes: int = 0
    released_bytes: int = 0
    """Bytes of the original weights given back to the system; they are read from the file when needed."""
    seconds: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class _Site:
    """Layers that share their input, so that one product can serve them."""

    layers: tuple[Linear, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Sites of one key are alike, and one probe decides for them."""
        first = self.layers[0]
        sizes = tuple(layer.out_features for layer in self.layers)
        return first.in_features, sizes, first.weight.dtype, first.bias is not None


def prepare_for_inference(model: nn.Module) -> PackReport:
    """Pack the linear layers of a model in evaluation mode where a probe says that it is faster.

    The packed copies serve calls without gradients only; parameters, `state_dict` and saving know nothing of
    them, and training mode, moving or casting the model, or a changed weight puts them aside. Weights that
    show a file give their memory back, so that memory is held once. Calling again costs a check per packed
    layer.
    """
    kind = next((p.dtype, p.device.type) for p in model.parameters())
    if model.training or kind[1] != "cpu" or torch.compiler.is_compiling():
        return PackReport()
    decided = model.__dict__.get(_DECIDED)
    if decided is not None and decided[0] == kind and all(_still_packed(layer) for layer in decided[1]):
        return PackReport()
    start = time.perf_counter()
    sites = [site for site in _sites(model) if not _is_settled(site)]
    with torch.inference_mode(False), torch.no_grad():
        report = _pack_sites(sites)
    packed = [m for m in model.modules() if isinstance(m, Linear) and m.packed is not None]
    model.__dict__[_DECIDED] = (kind, packed)
    return PackReport(
        packed=report.packed,
        kept=report.kept,
        packed_bytes=report.packed_bytes,
        released_bytes=report.released_bytes,
        seconds=time.perf_counter() - start,
    )


def _still_packed(layer: Linear) -> bool:
    return layer.packed is not None and layer.packed.is_trusted()


def unpack(model: nn.Module) -> None:
    """Give up every packed copy in a model; layers run on their parameters again."""
    model.__dict__.pop(_DECIDED, None)
    for module in model.modules():
        if isinstance(module, Linear):
            module.packed = None
            module.packing_settled = False


def _sites(model: nn.Module) -> Iterator[_Site]:
    """Products of a model worth packing, those that share an input together."""
    joined: set[int] = set()
    for module in model.modules():
        match module:
            case AttentionLayer():
                together = [module.q_proj, module.k_proj, module.v_proj]
            case GatedMlpLayer() | JoinedMlpLayer():
                together = [module.gate_proj, module.up_proj]
            case _:
                continue
        layers = [layer for layer in together if isinstance(layer, Linear)]
        if len({(layer.weight.dtype, layer.bias is None) for layer in layers}) == 1 and len(layers) > 1:
            joined.update(map(id, layers))
            if all(can_pack(layer) for layer in layers) and layers[0].in_features >= NARROW:
                yield _Site(tuple(layers))
    for module in model.modules():
        if isinstance(module, Linear) and id(module) not in joined and can_pack(module):
            yield from [_Site((module,))] if min(module.in_features, module.out_features) >= NARROW else []


def _is_settled(site: _Site) -> bool:
    """Whether a site was decided before and its weights are still the same."""
    first = site.layers[0]
    if first.packed is not None and not first.packed.is_trusted():
        first.packed = None
        first.packing_settled = False
    return first.packing_settled


def _pack_sites(sites: Sequence[_Site]) -> PackReport:
    by_key: dict[tuple[object, ...], list[_Site]] = defaultdict(list)
    for site in sites:
        by_key[site.key].append(site)
    work = _Work()
    for alike in by_key.values():
        trial = [packed for site in alike[:PROBE_LAYERS] if (packed := work.pack(site)) is not None]
        if trial and _is_faster(trial):
            for tried in trial:
                work.install(tried)
            # One at a time from here, so that memory is held twice for one layer at most.
            for site in alike[PROBE_LAYERS:]:
                if (packed := work.pack(site)) is not None:
                    work.install(packed)
    for site in sites:
        site.layers[0].packing_settled = True
    return PackReport(
        packed=work.count, kept=len(sites) - work.count, packed_bytes=work.bytes, released_bytes=work.released
    )


@final
class _Work:
    """Packs sites within a bound on memory, and counts."""

    def __init__(self) -> None:
        self._mappings = clean_mappings()
        available = available_bytes()
        self._allowance = None if available is None else int(available * COPY_SHARE)
        self.count = self.bytes = self.released = 0

    def pack(self, site: _Site) -> tuple[_Site, Packed] | None:
        """The packed product of a site, or None if memory is short or the processor cannot."""
        weights = [layer.weight for layer in site.layers]
        copied = sum(weight.nbytes for weight in weights if not is_mapped(weight, self._mappings))
        if self._allowance is not None:
            if copied > self._allowance:
                return None
            self._allowance -= copied
        packed = pack(site.layers)
        return None if packed is None else (site, packed)

    def install(self, packed: tuple[_Site, Packed]) -> None:
        """Let a site run packed from now on, and give its original memory back."""
        site, product = packed
        site.layers[0].packed = product
        self.count, self.bytes = self.count + 1, self.bytes + product.nbytes
        self.released += release([layer.weight for layer in site.layers], self._mappings)


def _is_faster(trial: Sequence[tuple[_Site, Packed]]) -> bool:
    """Whether packed products beat plain ones on average over row counts, and none is much slower."""

    def plain(x: Tensor) -> None:
        for site, _ in trial:
            for layer in site.layers:
                nn.functional.linear(x, layer.weight, layer.bias)

    def quick(x: Tensor) -> None:
        for _, packed in trial:
            packed.product(x)

    first = trial[0][0].layers[0]
    gains: list[float] = []
    for rows in ROWS_PROBED:
        x = torch.randn(rows, first.in_features).to(first.weight.dtype)
        times = [(_seconds(plain, x), _seconds(quick, x)) for _ in range(PROBE_ROUNDS)]
        gains.append(min(t[0] for t in times) / min(t[1] for t in times))
    return min(gains) > LEAST_GAIN and math.prod(gains) ** (1 / len(gains)) > MEAN_GAIN


def _seconds(run: Callable[[Tensor], None], x: Tensor) -> float:
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start
