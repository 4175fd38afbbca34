"""Mixtures of experts: a router that chooses, experts that work on sorted tokens, and the layer around them.

M tokens of all rows in one list, D width, E experts, K chosen per token, F inner width of an expert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.layers.activation import Gating, Unary
from hf_modeling.layers.base import META, Layer, Linear, StepLayer, parameter
from hf_modeling.layers.routing import Choice, Rescale

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class RouterLayer(nn.Module):
    """Which experts each token goes to, and with what weight.

    `e_score_correction_bias` shifts the choice and not the weights; `per_expert_scale` multiplies weights.
    """

    e_score_correction_bias: Tensor | None

    def __init__(
        self,
        width: int,
        experts: int,
        choice: Choice,
        rescale: Rescale,
        *,
        bias: bool,
        correction: bool,
        expert_scale: bool,
        logit_cap: float | None,
        wide: bool,
    ) -> None:
        super().__init__()
        self.weight = parameter(experts, width)
        self.bias = parameter(experts) if bias else None
        # Training moves it by its own rule, not by gradient.
        corrections = torch.empty(experts, device=META) if correction else None
        self.register_buffer("e_score_correction_bias", corrections)
        self.per_expert_scale = parameter(experts) if expert_scale else None
        self.input: RouterInputLayer | None = None
        self.choice, self.rescale, self.logit_cap, self.wide = choice, rescale, logit_cap, wide

    def forward(self, x_MD: Tensor, step: Step | None) -> tuple[Tensor, Tensor]:
        """Weights (M, K) float32 and experts (M, K) int64."""
        if self.input is not None:
            x_MD = self.input(x_MD)
        if self.wide:
            x_MD = x_MD.float()
        logits_ME = F.linear(x_MD, self.weight.type_as(x_MD), self.bias).float()
        if self.logit_cap is not None:
            logits_ME = torch.tanh(logits_ME / self.logit_cap) * self.logit_cap
        if step is not None and step.router_logits is not None:
            step.router_logits.append(logits_ME)
        weights_MK, experts_MK = self.choice(logits_ME, self.e_score_correction_bias)
        weights_MK = self.rescale(weights_MK)
        if self.per_expert_scale is not None:
            weights_MK = weights_MK * self.per_expert_scale[experts_MK]
        return weights_MK, experts_MK

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.e_score_correction_bias is not None:
            nn.init.zeros_(self.e_score_correction_bias)
        if self.per_expert_scale is not None:
            nn.init.ones_(self.per_expert_scale)


@final
class RouterInputLayer(Layer):
    """norm(x) times a trained vector times a constant."""

    def __init__(self, width: int, norm: Layer, multiplier: float) -> None:
        super().__init__()
        self.norm = norm
        self.scale = parameter(width)
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.scale * self.multiplier

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.scale)


@final
class GatedExpertsLayer(nn.Module):
    """Experts down(gating(gate(x), up(x))); gate and up are the halves of one tensor."""

    def __init__(self, experts: int, width: int, inner: int, gating: Gating, *, bias: bool) -> None:
        super().__init__()
        self.gate_up_proj = parameter(experts, 2 * inner, width)
        self.down_proj = parameter(experts, width, inner)
        self.gate_up_proj_bias = parameter(experts, 2 * inner) if bias else None
        self.down_proj_bias = parameter(experts, width) if bias else None
        self.gating = gating

    def forward(self, x_RD: Tensor, expert_R: Tensor, ends_E: Tensor) -> Tensor:
        gate_up = grouped_linear(x_RD, self.gate_up_proj, self.gate_up_proj_bias, expert_R, ends_E)
        gate_RF, up_RF = gate_up.chunk(2, dim=-1)
        return grouped_linear(
            self.gating(gate_RF, up_RF), self.down_proj, self.down_proj_bias, expert_R, ends_E
        )

    def init_weights(self, std: float) -> None:
        _init_experts((self.gate_up_proj, self.down_proj), (self.gate_up_proj_bias, self.down_proj_bias), std)


@final
class PlainExpertsLayer(nn.Module):
    """Experts down(activation(up(x)))."""

    def __init__(self, experts: int, width: int, inner: int, activation: Unary, *, bias: bool) -> None:
        super().__init__()
        self.up_proj = parameter(experts, inner, width)
        self.down_proj = parameter(experts, width, inner)
        self.up_proj_bias = parameter(experts, inner) if bias else None
        self.down_proj_bias = parameter(experts, width) if bias else None
        self.act_fn = activation

    def forward(self, x_RD: Tensor, expert_R: Tensor, ends_E: Tensor) -> Tensor:
        up_RF = grouped_linear(x_RD, self.up_proj, self.up_proj_bias, expert_R, ends_E)
        return grouped_linear(self.act_fn(up_RF), self.down_proj, self.down_proj_bias, expert_R, ends_E)

    def init_weights(self, std: float) -> None:
        _init_experts((self.up_proj, self.down_proj), (self.up_proj_bias, self.down_proj_bias), std)


ExpertsLayer = GatedExpertsLayer | PlainExpertsLayer


@final
class SharedExpertLayer(nn.Module):
    """A network for every token, times the sigmoid of a projection to one number if there is one."""

    def __init__(self, width: int, mlp: StepLayer, *, token_gate: bool) -> None:
        super().__init__()
        self.mlp = mlp
        self.token_gate = Linear(width, 1) if token_gate else None

    def forward(self, x_MD: Tensor, step: Step) -> Tensor:
        y_MD = self.mlp(x_MD, step)
        return y_MD if self.token_gate is None else y_MD * torch.sigmoid(self.token_gate(x_MD))


@final
class MoeLayer(StepLayer):
    """Each token through its chosen experts, and through the shared expert if there is one.

    `fc1_latent_proj` and `fc2_latent_proj` lead into and out of the space the experts work in; `bias` is
    added to what they give; `output_norm` is the last thing done.
    """

    def __init__(
        self,
        router: RouterLayer,
        experts: ExpertsLayer,
        shared: SharedExpertLayer | None,
        *,
        combine: float,
        weight_on_input: bool,
        latent: tuple[Linear, Linear] | None,
        output_bias: int,
        output_norm: Layer | None,
    ) -> None:
        super().__init__()
        self.gate = router
        self.experts = experts
        self.shared_expert = shared
        self.fc1_latent_proj = None if latent is None else latent[0]
        self.fc2_latent_proj = None if latent is None else latent[1]
        self.bias = parameter(output_bias) if output_bias else None
        self.output_norm = output_norm
        self.combine, self.weight_on_input = combine, weight_on_input

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        x_MD = x_BTD.reshape(-1, x_BTD.shape[-1])
        y_MD = self.routed(x_MD, *self.gate(x_MD, step))
        if self.bias is not None:
            y_MD = y_MD + self.bias
        if self.shared_expert is not None:
            y_MD = (y_MD + self.shared_expert(x_MD, step)) * self.combine
        if self.output_norm is not None:
            y_MD = self.output_norm(y_MD)
        return y_MD.view(x_BTD.shape)

    def routed(self, x_MD: Tensor, weights_MK: Tensor, experts_MK: Tensor) -> Tensor:
        """What the chosen experts make of each token, weighted and summed, (M, D) in the tokens' dtype."""
        h_MD = x_MD if self.fc1_latent_proj is None else self.fc1_latent_proj(x_MD)
        M, K = experts_MK.shape
        # One row for each pair of token and expert, rows of one expert side by side.
        expert_R, order_R = experts_MK.flatten().sort(stable=True)
        rows_RD = h_MD[order_R // K]
        if self.weight_on_input:
            rows_RD = rows_RD * weights_MK.flatten()[order_R, None].to(rows_RD.dtype)
        ends_E = torch.bincount(expert_R, minlength=self.gate.weight.shape[0]).cumsum(0)
        made_RD = self.experts(rows_RD, expert_R, ends_E)
        made_MKD = torch.empty_like(made_RD).index_copy(0, order_R, made_RD).view(M, K, -1)
        if self.weight_on_input:
            y_MD = made_MKD.sum(1)
        else:
            y_MD = torch.bmm(weights_MK[:, None, :], made_MKD.float()).squeeze(1).to(made_RD.dtype)
        return y_MD if self.fc2_latent_proj is None else self.fc2_latent_proj(y_MD)

    def init_weights(self, std: float) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@final
class DualFfnLayer(StepLayer):
    """norm(dense(norm(h))) + norm(sparse(norm(h))); the router reads h itself."""

    def __init__(
        self,
        dense: StepLayer,
        dense_norm: Layer,
        dense_output_norm: Layer,
        sparse: MoeLayer,
        sparse_norm: Layer,
        sparse_output_norm: Layer,
    ) -> None:
        super().__init__()
        self.dense, self.dense_norm, self.dense_output_norm = dense, dense_norm, dense_output_norm
        self.sparse, self.sparse_norm, self.sparse_output_norm = sparse, sparse_norm, sparse_output_norm

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        dense_BTD = self.dense_output_norm(self.dense(self.dense_norm(h_BTD), step))
        h_MD = h_BTD.reshape(-1, h_BTD.shape[-1])
        y_MD = self.sparse.routed(self.sparse_norm(h_MD), *self.sparse.gate(h_MD, step))
        return dense_BTD + self.sparse_output_norm(y_MD).view(h_BTD.shape)


def grouped_linear(
    x_RD: Tensor, weight_EFD: Tensor, bias_EF: Tensor | None, expert_R: Tensor, ends_E: Tensor
) -> Tensor:
    """Each row through the matrix of its expert. Rows are sorted by expert; `ends_E` is where each one's end."""
    if _fits_grouped_kernel(x_RD, weight_EFD):
        y_RF = F.grouped_mm(x_RD.contiguous(), weight_EFD.transpose(-1, -2), offs=ends_E.to(torch.int32))
    else:
        y_RF = _linear_by_expert(x_RD, weight_EFD, ends_E.tolist())
    return y_RF if bias_EF is None else y_RF + bias_EF[expert_R]


def _linear_by_expert(x_RD: Tensor, weight_EFD: Tensor, ends: list[int]) -> Tensor:
    starts = [0, *ends[:-1]]
    parts = [
        F.linear(x_RD[start:end], weight_EFD[expert])
        for expert, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end > start
    ]
    return torch.cat(parts)


def _fits_grouped_kernel(x_RD: Tensor, weight_EFD: Tensor) -> bool:
    """Whether one kernel can do all experts: rows of whole 16 bytes, and on CPU, nothing to differentiate."""
    whole = all(size * x_RD.element_size() % 16 == 0 for size in weight_EFD.shape[1:])
    return whole and x_RD.shape[0] > 0 and (x_RD.is_cuda or not torch.is_grad_enabled())


def _init_experts(weights: tuple[Tensor, ...], biases: tuple[Tensor | None, ...], std: float) -> None:
    for weight in weights:
        nn.init.normal_(weight, std=std)
    for bias in biases:
        if bias is not None:
            nn.init.zeros_(bias)
