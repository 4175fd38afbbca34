"""Packing a model's linear layers for inference: which ones, by a rule that was measured, within memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from hf_modeling.layers.attention import AttentionLayer
from hf_modeling.layers.base import Linear
from hf_modeling.layers.mlp import GatedMlpLayer, JoinedMlpLayer
from hf_modeling.packed.memory import available_bytes, clean_mappings, is_mapped, release
from hf_modeling.packed.product import Packed, can_pack, pack
from hf_modeling.packed.worth import is_worth_packing

COPY_SHARE = 0.25
"""Part of the available memory that copies of weights may take which are not shown by a file."""


JOINED_BYTES = 1 << 18
"""Layers with one input whose weights are smaller than this are joined: calling them costs more than running."""
_DECIDED = "_hf_packing_decided"
"""Attribute of a model that was prepared: its kind, and the layers that are packed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReport:
    """What `prepare_for_inference` did."""

    packed: int = 0
    """Packed products, each of one layer or of several with the same input."""
    kept: int = 0
    """Products that memory, or the processor, decided against packing."""
    packed_bytes: int = 0
    released_bytes: int = 0
    """Bytes of the original weights given back to the system; they are read from the file when needed."""
    seconds: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class _Site:
    """Layers that share their input, so that one product can serve them."""

    layers: tuple[Linear, ...]

    def can_gain(self) -> bool:
        """Whether the layers can be packed as one, and a product of this shape is faster for it."""
        small = len(self.layers) > 1 and sum(layer.weight.nbytes for layer in self.layers) <= JOINED_BYTES
        return all(map(can_pack, self.layers)) and (self.is_wide or small)

    @property
    def is_wide(self) -> bool:
        """Whether a product of this shape is faster packed."""
        first = self.layers[0]
        outputs = sum(layer.out_features for layer in self.layers)
        return is_worth_packing(first.in_features, outputs, first.weight.dtype)


def prepare_for_inference(model: nn.Module) -> PackReport:
    """Pack the linear layers of a model in evaluation mode where that is faster: by shape, alike in every load.

    The packed copies serve calls without gradients only; parameters, `state_dict` and saving know nothing of
    them, and training mode, moving or casting the model, or a changed weight puts them aside. Weights that
    show a file give their memory back, so that memory is held once. Calling again costs a check per packed
    layer.
    """
    kind = next((p.dtype, p.device.type) for p in model.parameters())
    if model.training or kind[1] != "cpu" or torch.compiler.is_compiling():
        return PackReport()
    decided = model.__dict__.get(_DECIDED)
    if (
        decided is not None
        and decided[0] == kind
        and all(layer.packed is not None and layer.packed.is_trusted() for layer in decided[1])
    ):
        return PackReport()
    start = time.perf_counter()
    sites = [site for site in _sites(model) if not _is_settled(site) and site.can_gain()]
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
            yield _Site(tuple(layers))
    for module in model.modules():
        if isinstance(module, Linear) and id(module) not in joined:
            yield _Site((module,))


def _is_settled(site: _Site) -> bool:
    """Whether a site was decided before and its weights are still the same."""
    first = site.layers[0]
    if first.packed is not None and not first.packed.is_trusted():
        first.packed = None
        first.packing_settled = False
    return first.packing_settled


def _pack_sites(sites: Sequence[_Site]) -> PackReport:
    work = _Work()
    # One at a time, so that memory is held twice for one product at most.
    for site in sites:
        work.pack(site)
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

    def pack(self, site: _Site) -> None:
        """Let a site run packed from now on and give its original memory back, if memory and processor allow."""
        weights = [layer.weight for layer in site.layers]
        copied = sum(weight.nbytes for weight in weights if not is_mapped(weight, self._mappings))
        if self._allowance is not None and copied > self._allowance:
            return
        product = pack(site.layers) if site.is_wide else Packed(site.layers, reorder=False)
        if product is None:
            return
        if self._allowance is not None:
            self._allowance -= copied
        site.layers[0].packed = product
        self.count, self.bytes = self.count + 1, self.bytes + product.nbytes
        self.released += release(weights, self._mappings)
