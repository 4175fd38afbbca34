"""Small layers around special mixers against their formulas written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hf_modeling.build import build_norm
from hf_modeling.init import allocate
from hf_modeling.layers.conv import ShortConvLayer
from hf_modeling.layers.norm import GatedRmsNormLayer
from hf_modeling.layers.special import ChannelMixLayer
from hf_modeling.spec import GatedRmsNorm, ShortConv
from hf_modeling.step import begin

CPU, WIDTH = torch.device("cpu"), 6


def filled(layer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    allocate(layer, CPU)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)


def inputs(tokens: int = 6) -> torch.Tensor:
    return torch.randn(2, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_short_convolution_is_its_formula() -> None:
    layer, x_BTD = ShortConvLayer(ShortConv(width=3, bias=True), WIDTH, 0), inputs()
    filled(layer)
    assert layer.conv.bias is not None
    before, after, x = layer.in_proj(x_BTD).chunk(3, dim=-1)
    mixed, kernel_DW = before * x, layer.conv.weight[:, 0]
    expected = layer.conv.bias.expand_as(mixed).clone()
    for back in range(3):
        expected[:, back:] += mixed[:, : 6 - back] * kernel_DW[:, 2 - back]
    actual = layer(x_BTD, begin(batch=2, new=6, device=CPU))
    torch.testing.assert_close(actual, layer.out_proj(after * expected))


@torch.no_grad()
def test_a_gated_norm_is_its_formula() -> None:
    layer, x = build_norm(GatedRmsNorm(eps=1e-6, rank=3), WIDTH), inputs()
    filled(layer)
    assert isinstance(layer, GatedRmsNormLayer)
    y = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.norm.weight
    torch.testing.assert_close(layer(x), y * layer.up_proj(F.silu(layer.down_proj(y))).sigmoid())


@torch.no_grad()
def test_channel_mixing_is_its_formula() -> None:
    layer, x_BTD = ChannelMixLayer(WIDTH, 10, 0), inputs()
    filled(layer)
    before_BTD = torch.cat((torch.zeros_like(x_BTD[:, :1]), x_BTD[:, :-1]), dim=1)
    read = x_BTD * layer.time_mix_key + before_BTD * (1 - layer.time_mix_key)
    gate = x_BTD * layer.time_mix_receptance + before_BTD * (1 - layer.time_mix_receptance)
    expected = layer.receptance(gate).sigmoid() * layer.value(F.relu(layer.key(read)).square())
    torch.testing.assert_close(layer(x_BTD, begin(batch=2, new=6, device=CPU)), expected)
