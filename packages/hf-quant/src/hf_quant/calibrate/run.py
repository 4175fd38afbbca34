"""Quantizing a model with data, block by block: scales, roundings, and how far each layer's output moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from hf_config.quantization import AutoRoundConfig, AwqConfig, GPTQConfig, QuantizationConfig
from hf_modeling.layers.base import Linear
from hf_modeling.model import PreTrainedModel
from hf_quant.affine import Affine, Integers
from hf_quant.calibrate.folding import Fold, apply_if_exact, best_scale, folds, smoothing_scale
from hf_quant.calibrate.moments import Moments, watching
from hf_quant.calibrate.resume import Finished, block_file, read_block, write_block
from hf_quant.calibrate.rounding import Grid, clipped, gptq, signed_gradient
from hf_quant.calibrate.walk import Walk, evaluating
from hf_quant.codecs.awq import AwqGemm, AwqGemv
from hf_quant.codecs.gptq import Gptq
from hf_quant.convert import Conversion, Site
from hf_quant.errors import NonFiniteError, QuantizationConfigError
from hf_quant.report import QuantizationReport
from hf_quant.source import relative_error
from hf_quant.stored import module_of

UNCLIPPED = ("q_proj", "k_proj")
"""Whose products are multiplied with each other, so that clipping them costs more than it seems to."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerError:
    """How far a layer's output moved on the calibration data.

    error: sqrt(mean |W x - W' x|² / mean |W x|²), W and x as they were when the layer was rounded.
    nearest: the same, had the original weight been rounded to nearest.
    """

    module: str
    error: float
    nearest: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A block is done: its number from 1, how many there are, its layers, seconds, and whether it was resumed."""

    block: int
    blocks: int
    layers: tuple[LayerError, ...]
    seconds: float
    is_resumed: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationReport:
    """The receipt of the quantization, and what the data say about each layer of the blocks."""

    receipt: QuantizationReport
    layers: tuple[LayerError, ...]


def calibrate(
    model: PreTrainedModel,
    config: QuantizationConfig,
    ids_ST: Tensor,
    *,
    batch_size: int = 4,
    resume: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CalibrationReport:
    """Quantize a plain decoder in place with `GPTQConfig`, `AwqConfig` or `AutoRoundConfig`, and report.

    ids_ST: calibration data, token ids (S, T). Each block is rounded for the inputs that the packed blocks
        before it give; in memory are those inputs and one block's sums, (K, K) for each input.
    resume: a folder that keeps finished blocks. A later call with the same weights, settings and data goes on
        from there; files of other runs are left alone.
    Experts and layers outside of blocks are rounded to nearest. Raises QuantizationConfigError,
    CalibrationDataError, UnsupportedHereError, AlreadyQuantizedError, PackingError, NonFiniteError.
    """
    if not isinstance(config, GPTQConfig | AwqConfig | AutoRoundConfig):
        raise QuantizationConfigError(
            f"{config.quant_method} is not calibrated here",
            fix="use GPTQConfig, AwqConfig or AutoRoundConfig; quantize_model for methods that need no data",
        )
    conversion = Conversion(model, config)
    errors: list[LayerError] = []
    with evaluating(model):
        walk = Walk(model, ids_ST, batch_size=batch_size)
        for number in range(len(walk.blocks)):
            began = time.monotonic()
            block, prefix = walk.blocks[number], f"{walk.prefix}.{number}."
            sites = {s.module: s for s in conversion.sites if s.module.startswith(prefix)}
            for name in sites:
                if not bool(torch.isfinite(conversion.plain_weight(name)).all()):
                    raise NonFiniteError(f"{name} holds NaN or infinity", fix="check the checkpoint")
            path = (
                None if resume is None else block_file(Path(resume), number, config, ids_ST, walk.run(block))
            )
            done = None if path is None else read_block(path)
            is_resumed = done is not None
            if done is None:
                done = _round_block(conversion, walk, block, prefix, sites, config)
                if path is not None:
                    write_block(path, done)
            else:
                _take_block(conversion, block, done)
            layers = tuple(
                LayerError(module=name, error=error, nearest=nearest)
                for name, (error, nearest) in done.errors.items()
            )
            errors += layers
            walk.advance(block)
            if progress is not None:
                spent = time.monotonic() - began
                progress(
                    Progress(
                        block=number + 1,
                        blocks=len(walk.blocks),
                        layers=layers,
                        seconds=spent,
                        is_resumed=is_resumed,
                    )
                )
        while left := conversion.sites:
            conversion.round(left[0].module)
    return CalibrationReport(receipt=conversion.finish(), layers=tuple(errors))


def smooth(
    model: PreTrainedModel, ids_ST: Tensor, *, strength: float = 0.5, batch_size: int = 4
) -> tuple[str, ...]:
    """Move outliers of activations into weights, in place, and name the layers that read smoother inputs now.

    The model's results stay what they were; activations then lose less in 8 bits (SmoothQuant). Follow it by
    `quantize_model` with settings that round activations. Raises as `calibrate`.
    """
    smoothed: list[str] = []
    with evaluating(model):
        walk = Walk(model, ids_ST, batch_size=batch_size)
        for number, block in enumerate(walk.blocks):
            layers = {name: layer for name, layer in block.named_modules() if isinstance(layer, Linear)}
            with watching(layers) as moments:
                walk.run_all(block)
            for fold in folds(block):
                if not isinstance(fold.producer, Linear) and all(name in moments for name in fold.readers):
                    weights = [reader.weight for reader in fold.readers.values()]
                    by_K = smoothing_scale(weights, moments[next(iter(fold.readers))], strength=strength)
                    if apply_if_exact(fold, by_K, partial(walk.run, block)):
                        smoothed += [f"{walk.prefix}.{number}.{name}" for name in fold.readers]
            walk.advance(block)
    return tuple(smoothed)


Settings = GPTQConfig | AwqConfig | AutoRoundConfig


def _round_block(
    conversion: Conversion,
    walk: Walk,
    block: nn.Module,
    prefix: str,
    sites: Mapping[str, Site],
    config: Settings,
) -> Finished:
    """Watch what the block's layers read, scale and round them, and put the packed ones in their place."""
    modules = dict(block.named_modules())
    layers = {
        name: layer for name in sites if isinstance(layer := modules.get(name.removeprefix(prefix)), Linear)
    }
    with watching(layers) as moments:
        walk.run_all(block)
    grids = {name: grid for name in layers if (grid := _grid(sites[name].codec)) is not None}
    original = {name: conversion.plain_weight(name).float().clone() for name in grids}
    scales: dict[str, Tensor] = {}
    if isinstance(config, AwqConfig):
        for fold in folds(block):
            scales |= _fold(fold, walk, block, prefix, grids, moments)
    parts: dict[str, Mapping[str, Tensor]] = {}
    errors: dict[str, tuple[float, float]] = {}
    for name, site in sites.items():
        if name not in grids or not moments[name].rows:
            continue  # `round` takes what no token reached, and what is no linear layer
        plain_NK = conversion.plain_weight(name).float()
        integers = _rounded(plain_NK, name, moments[name], grids[name], config)
        codec = site.codec
        assert isinstance(codec, Affine), "grids are of such codecs"
        parts[name] = codec.assemble(integers)
        made_NK = codec.dequantize(parts[name], site.shape, torch.float32)
        errors[name] = _errors(
            plain_NK, made_NK, original[name], scales.get(name), moments[name], grids[name]
        )
    for name, made in parts.items():
        error = relative_error(conversion.plain_weight(name), sites[name].codec, made, sites[name].shape)
        conversion.put(name, made, error=error)
    plain = {
        name: parameter.detach()
        for name, parameter in block.named_parameters()
        if name.endswith(".bias") or sites.keys().isdisjoint({prefix + name, prefix + module_of(name)})
    }
    return Finished(parts=parts, plain=plain, errors=errors)


def _take_block(conversion: Conversion, block: nn.Module, done: Finished) -> None:
    """Put a block that an earlier run finished in its place."""
    for name, parts in done.parts.items():
        conversion.put(name, parts)
    parameters = dict(block.named_parameters())
    with torch.no_grad():
        for name, value in done.plain.items():
            parameters[name].copy_(value)


def _fold(
    fold: Fold,
    walk: Walk,
    block: nn.Module,
    prefix: str,
    grids: Mapping[str, Grid],
    moments: Mapping[str, Moments],
) -> dict[str, Tensor]:
    """Find a scale for the readers and move it into their weights; what was folded, by layer."""
    names = [prefix + name for name in fold.readers]
    if not all(name in grids and name in moments for name in names):
        return {}
    weights = [reader.weight for reader in fold.readers.values()]
    by_K = best_scale(weights, moments[names[0]], grids[names[0]])
    if not apply_if_exact(fold, by_K, partial(walk.run, block)):
        return {}
    for sums in {id(moments[name]): moments[name] for name in names}.values():
        sums.rescale(by_K)
    return dict.fromkeys(names, by_K)


def _rounded(plain_NK: Tensor, name: str, moments: Moments, grid: Grid, config: Settings) -> Integers:
    match config:
        case GPTQConfig():
            return gptq(
                plain_NK,
                moments,
                grid,
                damp=config.damp_percent,
                desc_act=config.desc_act,
                group_aware=config.act_group_aware,
            )
        case AwqConfig() if name.endswith(UNCLIPPED):
            return grid.nearest(plain_NK)
        case AwqConfig():
            return clipped(plain_NK, moments, grid)
        case AutoRoundConfig():
            return signed_gradient(plain_NK, moments, grid)


def _grid(codec: object) -> Grid | None:
    match codec:
        case Gptq() | AwqGemm():
            return Grid(bits=codec.bits, group_size=codec.group_size, symmetric=codec.symmetric)
        case AwqGemv():
            return Grid(bits=codec.bits, group_size=codec.group_size, symmetric=False)
        case _:
            return None


def _errors(
    plain_NK: Tensor,
    made_NK: Tensor,
    original_NK: Tensor,
    by_K: Tensor | None,
    moments: Moments,
    grid: Grid,
) -> tuple[float, float]:
    """The relative error of a layer's output, and that of rounding its original weight to nearest."""
    size = moments.loss(plain_NK)
    if size <= 0.0:
        return 0.0, 0.0
    nearest_NK = grid.nearest(original_NK).values(torch.float32) - original_NK
    if by_K is not None:
        nearest_NK = nearest_NK * by_K  # the sums are of x / by by now
    return (max(moments.loss(made_NK - plain_NK), 0.0) / size) ** 0.5, (
        max(moments.loss(nearest_NK), 0.0) / size
    ) ** 0.5
