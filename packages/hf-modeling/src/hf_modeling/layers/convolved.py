"""A block with a convolution beside it. B batch, T tokens, D width."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.layers.activation import Unary
from hf_modeling.layers.base import META, Layer, Mixer, StepLayer
from hf_modeling.layers.block import Join

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class SameConv(nn.Conv1d):
    """activation(conv(h)) over each token and those around it; padding counts as zeros."""

    def __init__(self, width: int, kernel: int, groups: int, activation: Unary, dropout: float) -> None:
        super().__init__(width, width, kernel, padding=(kernel - 1) // 2, groups=groups, device=META)
        self.activation, self.dropout = activation, dropout

    def reset_parameters(self) -> None:
        """Nothing: weights are loaded, or set by `init.initialize`."""

    def run(self, h_BTD: Tensor, step: Step) -> Tensor:
        """(B, T, D) for (B, T, D)."""
        if step.new_valid_BT is not None:
            h_BTD = h_BTD * step.new_valid_BT.unsqueeze(-1)
        y_BTD = self(h_BTD.mT).mT
        return self.activation(F.dropout(y_BTD, self.dropout, self.training))


@final
class ConvolvedLayer(StepLayer):
    """norm(y + conv(h)), with y = norm(x + ffn(x)) and x = norm(h + mixer(h))."""

    def __init__(
        self,
        mixer: Mixer,
        mixer_norm: Layer,
        ffn: StepLayer,
        ffn_norm: Layer,
        add_mixer: Join,
        add_ffn: Join,
        conv: SameConv,
        conv_norm: Layer,
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp, self.conv = mixer, ffn, conv
        self.post_attention_layernorm, self.post_feedforward_layernorm = mixer_norm, ffn_norm
        self.conv_norm = conv_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        x_BTD = self.post_attention_layernorm(self.add_mixer(h_BTD, self.self_attn(h_BTD, step)))
        y_BTD = self.post_feedforward_layernorm(self.add_ffn(x_BTD, self.mlp(x_BTD, step)))
        return self.conv_norm(y_BTD + self.conv.run(h_BTD, step))
