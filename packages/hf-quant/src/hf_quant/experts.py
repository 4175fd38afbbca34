"""Mixtures' experts with packed matrices: the layers of hf-modeling, where a matrix may be packed or plain.

R rows sorted by expert, D width, F inner width, E experts.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from hf_modeling.layers.activation import Gating, Unary
from hf_modeling.layers.moe import GatedExpertsLayer, PlainExpertsLayer, grouped_linear
from hf_quant.linear import QuantExpertWeight

Matrices = nn.Parameter | QuantExpertWeight


@final
class QuantGatedExperts(nn.Module):
    """Experts down(gating(gate(x), up(x))), like `GatedExpertsLayer`."""

    def __init__(self, plain: GatedExpertsLayer) -> None:
        super().__init__()
        self.gate_up_proj: Matrices = plain.gate_up_proj
        self.down_proj: Matrices = plain.down_proj
        self.gate_up_proj_bias = plain.gate_up_proj_bias
        self.down_proj_bias = plain.down_proj_bias
        self.gating: Gating = plain.gating

    @property
    def is_plain(self) -> bool:
        """Whether no matrix is packed any more."""
        return not self._modules

    def plain(self) -> GatedExpertsLayer:
        """The layer that this one stands for, once no matrix is packed."""
        E, F, D = self._parameters["gate_up_proj"].shape  # type: ignore[union-attr] # there, as it is plain
        made = GatedExpertsLayer(E, D, F // 2, self.gating, bias=self.gate_up_proj_bias is not None)
        made._parameters.update(self._parameters)
        return made

    def forward(self, x_RD: Tensor, expert_R: Tensor, ends_E: Tensor) -> Tensor:
        gate_up = through(self.gate_up_proj, self.gate_up_proj_bias, x_RD, expert_R, ends_E)
        gate_RF, up_RF = gate_up.chunk(2, dim=-1)
        return through(self.down_proj, self.down_proj_bias, self.gating(gate_RF, up_RF), expert_R, ends_E)


@final
class QuantPlainExperts(nn.Module):
    """Experts down(activation(up(x))), like `PlainExpertsLayer`."""

    def __init__(self, plain: PlainExpertsLayer) -> None:
        super().__init__()
        self.up_proj: Matrices = plain.up_proj
        self.down_proj: Matrices = plain.down_proj
        self.up_proj_bias = plain.up_proj_bias
        self.down_proj_bias = plain.down_proj_bias
        self.act_fn: Unary = plain.act_fn

    @property
    def is_plain(self) -> bool:
        """Whether no matrix is packed any more."""
        return not self._modules

    def plain(self) -> PlainExpertsLayer:
        """The layer that this one stands for, once no matrix is packed."""
        E, F, D = self._parameters["up_proj"].shape  # type: ignore[union-attr] # there, as it is plain
        made = PlainExpertsLayer(E, D, F, self.act_fn, bias=self.up_proj_bias is not None)
        made._parameters.update(self._parameters)
        return made

    def forward(self, x_RD: Tensor, expert_R: Tensor, ends_E: Tensor) -> Tensor:
        up_RF = through(self.up_proj, self.up_proj_bias, x_RD, expert_R, ends_E)
        return through(self.down_proj, self.down_proj_bias, self.act_fn(up_RF), expert_R, ends_E)


def through(
    matrices: Matrices, bias_EF: Tensor | None, x_RD: Tensor, expert_R: Tensor, ends_E: Tensor
) -> Tensor:
    """Each row through the matrix of its expert, packed or plain."""
    if not isinstance(matrices, QuantExpertWeight):
        return grouped_linear(x_RD, matrices, bias_EF, expert_R, ends_E)
    y_RF: Tensor = matrices(x_RD, ends_E)
    return y_RF if bias_EF is None else y_RF + bias_EF[expert_R]
