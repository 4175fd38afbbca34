"""Moving a scale of channels from activations into weights, which changes no result: what AWQ and SmoothQuant do.

x / s comes out of a norm or of a linear layer when its own weight is divided by s; the layers that read x have
the columns of their weights multiplied by s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from hf_modeling.layers.base import Linear
from hf_modeling.layers.norm import (
    LayerNormLayer,
    RmsNormLayer,
    RmsNormNarrowLayer,
    RmsNormPlusOneLayer,
    RmsNormWideLayer,
)
from hf_quant.calibrate.moments import Moments
from hf_quant.calibrate.rounding import Grid

PAIRS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    ("self_attn.v_proj", ("self_attn.o_proj",)),
    ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
    ("mlp.up_proj", ("mlp.down_proj",)),
)
"""What in a block may give a scale away, and who reads it then; `is_exact` decides in each model."""
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@final
@dataclass(frozen=True, kw_only=True)
class Fold:
    """A producer and its readers in one block; names are from the block."""

    producer: nn.Module
    readers: Mapping[str, Linear]

    def apply(self, by_K: Tensor) -> None:
        """Let the producer give x / by, and the readers expect it."""
        with torch.no_grad():
            match self.producer:
                case RmsNormPlusOneLayer(weight=weight):
                    weight.copy_((weight.float() + 1) / by_K - 1)
                case Linear(weight=weight, bias=bias):
                    weight.div_(by_K[:, None].to(weight.dtype))
                    if bias is not None:
                        bias.div_(by_K.to(bias.dtype))
                case LayerNormLayer(weight=scale, bias=bias):
                    for part in (scale, bias):
                        if part is not None:
                            part.div_(by_K.to(part.dtype))
                case (
                    RmsNormLayer(weight=weight)
                    | RmsNormNarrowLayer(weight=weight)
                    | RmsNormWideLayer(weight=weight)
                ):
                    weight.div_(by_K.to(weight.dtype))
            for reader in self.readers.values():
                reader.weight.mul_(by_K.to(reader.weight.dtype))


def folds(block: nn.Module) -> Iterator[Fold]:
    """What may be folded in this block, by its names, classes and sizes."""
    modules = dict(block.named_modules())
    for giver, readers in PAIRS:
        producer = modules.get(giver)
        found = {name: layer for name in readers if isinstance(layer := modules.get(name), Linear)}
        if producer is None or len(found) != len(readers):
            continue
        features = next(iter(found.values())).in_features
        if isinstance(producer, Linear):
            fits = producer.out_features == features
        elif isinstance(producer, LayerNormLayer):
            fits = producer.weight is not None
        else:
            fits = isinstance(
                producer, RmsNormLayer | RmsNormNarrowLayer | RmsNormWideLayer | RmsNormPlusOneLayer
            )
        if fits:
            yield Fold(producer=producer, readers=found)


def apply_if_exact(fold: Fold, by_K: Tensor, run: Callable[[], Tensor]) -> bool:
    """Fold, and undo it if the block's output, which `run` gives, is no longer what it was.

    It is not where something else reads the producer, too (a router, parallel branches), or where what lies
    between producer and readers is not linear in each channel. The undoing is exact.
    """
    touched = [fold.producer, *fold.readers.values()]
    kept = [(p, p.detach().clone()) for module in touched for p in module.parameters(recurse=False)]
    before = run()
    fold.apply(by_K)
    change = (run() - before).float()
    if float(change.norm()) <= TOLERANCE.get(before.dtype, 1e-3) * float(before.float().norm()):
        return True
    with torch.no_grad():
        for parameter, value in kept:
            parameter.copy_(value)
    return False


def best_scale(weights: Sequence[Tensor], moments: Moments, grid: Grid, *, steps: int = 20) -> Tensor:
    """AWQ's scale of channels (K,): |x|^a for the a in [0, 1) that rounding to nearest costs least with."""
    size_K = moments.size_K.clamp(min=1e-4)
    best, least = torch.ones_like(size_K), float("inf")
    for step in range(steps):
        by_K = size_K ** (step / steps)
        by_K = by_K / (by_K.max() * by_K.min()).sqrt()
        loss = 0.0
        for weight_NK in weights:
            plain_NK = weight_NK.detach().float()
            loss += moments.loss(grid.nearest(plain_NK * by_K).values(torch.float32) / by_K - plain_NK)
        if loss < least:
            best, least = by_K, loss
    return best


def smoothing_scale(weights: Sequence[Tensor], moments: Moments, *, strength: float) -> Tensor:
    """SmoothQuant's scale (K,): max|x|^strength / max|w|^(1 - strength) (arXiv 2211.10438, equation 4)."""
    columns_K = torch.stack([w.detach().float().abs().amax(0) for w in weights]).amax(0).clamp(min=1e-5)
    by_K = moments.largest_K.clamp(min=1e-5) ** strength / columns_K ** (1 - strength)
    return by_K.clamp(1e-5, 1e5)
