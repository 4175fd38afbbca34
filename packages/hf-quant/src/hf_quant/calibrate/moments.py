"""What calibration remembers of a layer's inputs: sums over tokens, of a size that does not grow with the data.

K inputs, N outputs, R rows (tokens).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from hf_quant.errors import CalibrationDataError


@final
class Moments:
    """Sums over the inputs x of one layer, in float32: of x xᵀ (K, K) and of |x| (K,); the greatest |x| (K,)."""

    def __init__(self, features: int, device: torch.device) -> None:
        self._second_KK = torch.zeros(features, features, device=device)
        self._size_K = torch.zeros(features, device=device)
        self.largest_K = torch.zeros(features, device=device)
        self.rows = 0

    def add(self, x: Tensor) -> None:
        """Count rows `[..., K]`. Raises CalibrationDataError."""
        x_RK = x.detach().reshape(-1, x.shape[-1]).float()
        size_RK = x_RK.abs()
        self._second_KK += x_RK.mT @ x_RK
        self._size_K += size_RK.sum(0)
        if not bool(torch.isfinite(self._size_K).all()):
            raise CalibrationDataError(
                "the model answers the calibration data with NaN or infinity",
                fix="load it as float32 or bfloat16, or check its weights",
            )
        if x_RK.shape[0]:
            self.largest_K = torch.maximum(self.largest_K, size_RK.amax(0))
        self.rows += x_RK.shape[0]

    @property
    def second_KK(self) -> Tensor:
        """The mean of x xᵀ: half the Hessian of the squared error of one output."""
        return self._second_KK / max(self.rows, 1)

    @property
    def size_K(self) -> Tensor:
        """The mean of |x|."""
        return self._size_K / max(self.rows, 1)

    def rescale(self, by_K: Tensor) -> None:
        """The sums that x / by would have given."""
        self._second_KK /= by_K[:, None] * by_K
        self._size_K /= by_K
        self.largest_K = self.largest_K / by_K

    def loss(self, error_NK: Tensor) -> float:
        """The mean over tokens of |E x|², for an error E of the weight."""
        return float(((error_NK @ self.second_KK) * error_NK).sum())


@contextmanager
def watching(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Moments]]:
    """Count the inputs of these linear layers while the context lasts. Layers with the same input share sums."""
    found: dict[str, Moments] = {}
    last: tuple[Tensor, Moments] | None = None

    def see(name: str, features: int, x: Tensor) -> None:
        nonlocal last
        if last is not None and last[0] is x and found.get(name) in (None, last[1]):
            found[name] = last[1]
            return
        moments = found.setdefault(name, Moments(features, x.device))
        moments.add(x)
        last = x, moments

    handles = []
    for name, layer in layers.items():

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            see(name, inputs[0].shape[-1], inputs[0])

        handles.append(layer.register_forward_pre_hook(hook))
    try:
        yield found
    finally:
        last = None
        for handle in handles:
            handle.remove()
