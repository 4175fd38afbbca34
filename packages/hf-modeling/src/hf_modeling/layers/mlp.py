"""Feed-forward networks of one expert. D width, F inner width; other axes are free.

Every feed-forward layer takes the step, because some need it (token shift, routers that record); these do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch.nn.functional as F
from torch import Tensor

from hf_modeling.layers.activation import Gating, Unary
from hf_modeling.layers.base import Layer, Linear, StepLayer, together

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class MlpLayer(StepLayer):
    """down(activation(up(x)))."""

    def __init__(
        self,
        width: int,
        inner: int,
        activation: Unary | Layer,
        *,
        bias: bool,
        inner_norm: Layer | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.act_fn = activation
        self.ffn_sub_norm = inner_norm
        self.dropout = dropout

    def forward(self, x_BTD: Tensor, step: Step | None = None) -> Tensor:
        h_BTF = self.act_fn(self.up_proj(x_BTD))
        if self.ffn_sub_norm is not None:
            h_BTF = self.ffn_sub_norm(h_BTF)
        if self.training and self.dropout:
            h_BTF = F.dropout(h_BTF, self.dropout)
        return self.down_proj(h_BTF)


@final
class GatedMlpLayer(StepLayer):
    """down(activation(gate(x)) * up(x))."""

    def __init__(
        self,
        width: int,
        inner: int,
        activation: Unary,
        *,
        bias: bool,
        inner_norm: Layer | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.activation = activation
        self.ffn_sub_norm = inner_norm
        self.dropout = dropout

    def forward(self, x_BTD: Tensor, step: Step | None = None) -> Tensor:
        gate_BTF, up_BTF = together(x_BTD, self.gate_proj, self.up_proj)
        h_BTF = self.activation(gate_BTF) * up_BTF
        if self.ffn_sub_norm is not None:
            h_BTF = self.ffn_sub_norm(h_BTF)
        if self.training and self.dropout:
            h_BTF = F.dropout(h_BTF, self.dropout)
        return self.down_proj(h_BTF)


@final
class JoinedMlpLayer(StepLayer):
    """multiplier * down(gating(gate(x), up(x))): where gate and value meet in another way than a product."""

    def __init__(self, width: int, inner: int, gating: Gating, multiplier: float, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)
        self.gating = gating
        self.multiplier = multiplier

    def forward(self, x_BTD: Tensor, step: Step | None = None) -> Tensor:
        return self.down_proj(self.gating(*together(x_BTD, self.gate_proj, self.up_proj))) * self.multiplier
