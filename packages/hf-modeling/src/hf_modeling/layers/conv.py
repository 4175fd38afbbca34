"""Causal depthwise convolution as a layer with memory, and the mixer that is little else.

B batch, T tokens, C channels, W kernel width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from torch import Tensor, nn

from hf_modeling.cache import Replace
from hf_modeling.layers.base import Linear, Mixer, parameter
from hf_modeling.layers.tidy import Tidy, recall, remember, tidied
from hf_modeling.recurrence import causal_conv, causal_conv_step

if TYPE_CHECKING:
    from hf_modeling.spec.linear import ShortConv
    from hf_modeling.step import Step


@final
class CausalConv(nn.Module):
    """A kernel per channel over the W latest inputs; remembers them as the state "conv" of its layer."""

    def __init__(self, channels: int, width: int, *, bias: bool, layer: int) -> None:
        super().__init__()
        self.weight = parameter(channels, 1, width)  # as `nn.Conv1d` with one group per channel stores it
        self.bias = parameter(channels) if bias else None
        self.state = Replace(shape=(channels, width))
        self.layer = layer

    if TYPE_CHECKING:

        def __call__(self, x_BTC: Tensor, step: Step, tidy: Tidy | None) -> Tensor: ...

    def forward(self, x_BTC: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        weight_CW, state = self.weight.squeeze(1), recall(step, self.layer, "conv")
        dtype, x_BTC = x_BTC.dtype, x_BTC.type_as(weight_CW)  # some families keep the kernel in float32
        if step.new == 1 and state is not None:
            y_BC, state = causal_conv_step(x_BTC[:, 0], weight_CW, self.bias, state)
            y_BTC = y_BC.unsqueeze(1)
        else:
            lengths_B = None if tidy is None else tidy.lengths_B
            y_BCT, state = causal_conv(x_BTC.transpose(1, 2), weight_CW, self.bias, state, lengths_B)
            y_BTC = y_BCT.transpose(1, 2)
        remember(step, self.layer, "conv", state)
        return y_BTC.to(dtype)

    def init_weights(self, std: float) -> None:
        bound = 1 / math.sqrt(self.weight.shape[-1])  # PyTorch's default for a kernel of W inputs
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@final
class ShortConvLayer(Mixer):
    """out(C * conv(B * x))."""

    def __init__(self, spec: ShortConv, width: int, layer: int) -> None:
        super().__init__()
        self.in_proj = Linear(width, 3 * width, bias=spec.bias)
        self.conv = CausalConv(width, spec.width, bias=spec.bias, layer=layer)
        self.out_proj = Linear(width, width, bias=spec.bias)
        self.states = {"conv": self.conv.state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        return tidied(self._run, x_BTD, step)

    def _run(self, x_BTD: Tensor, step: Step, tidy: Tidy | None) -> Tensor:
        before, after, x = self.in_proj(x_BTD).chunk(3, dim=-1)
        mixed = before * x
        if tidy is not None:
            mixed = mixed * tidy.real_BT.unsqueeze(-1)
        return self.out_proj(after * self.conv(mixed, step, tidy))
