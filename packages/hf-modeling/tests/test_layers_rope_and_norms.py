"""Rotations and normalisations: what they leave alone, what they depend on, and how they round."""

from __future__ import annotations

import math
from dataclasses import replace
from threading import Thread

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_modeling.build import build_norm
from hf_modeling.build.norm import build_each_head_norm
from hf_modeling.cache import DynamicCache
from hf_modeling.init import allocate, initialize
from hf_modeling.layers.rope import FIRST_TABLE, Rotary, frequencies
from hf_modeling.spec import (
    DynamicScaling,
    LayerNorm,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Norm,
    NtkAlphaScaling,
    ProportionalScaling,
    RmsNorm,
    Rope,
    YarnScaling,
)
from hf_modeling.step import begin

CPU = torch.device("cpu")
PLAIN = Rope(theta=50.0, dim=8)
SCALED = {
    "plain": PLAIN,
    "linear": replace(PLAIN, scaling=LinearScaling(factor=4.0)),
    "dynamic": replace(PLAIN, scaling=DynamicScaling(factor=4.0, max_positions=1000)),
    "alpha": replace(PLAIN, scaling=NtkAlphaScaling(alpha=10.0)),
    "yarn": replace(PLAIN, scaling=YarnScaling(factor=4.0, original_positions=64, attention_factor=1.0)),
    "llama3": replace(PLAIN, scaling=Llama3Scaling(factor=8.0, low=1.0, high=4.0, original_positions=64)),
    "proportional": replace(PLAIN, scaling=ProportionalScaling(rotated_dim=4)),
    "interleaved": replace(PLAIN, layout="interleaved"),
    "backwards": replace(PLAIN, direction=-1),
    "wide": replace(PLAIN, apply="float32"),
    "partial": replace(PLAIN, dim=4),
}


def turned(rope: Rotary, x_H: Tensor, position: int) -> Tensor:
    step = begin(batch=1, new=1, device=CPU, position_ids=torch.tensor([[position]]))
    return rope.rotate(x_H.view(1, 1, 1, -1), step).flatten()


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(list(SCALED)), q=st.integers(0, 300), k=st.integers(0, 300), by=st.integers(0, 300)
)
def test_products_depend_on_distance_alone(name: str, q: int, k: int, by: int) -> None:
    rope = Rotary(SCALED[name])
    x, y = torch.randn(2, 8, generator=torch.Generator().manual_seed(q))
    here = turned(rope, x, q) @ turned(rope, y, k)
    there = turned(rope, x, q + by) @ turned(rope, y, k + by)
    assert abs(here - there) < 2e-4
    assert abs(turned(rope, x, q).norm() - x.norm()) < 1e-5


@pytest.mark.parametrize("name", SCALED)
def test_position_zero_and_features_beyond_the_rotation_stay(name: str) -> None:
    x = torch.randn(8)
    torch.testing.assert_close(turned(Rotary(SCALED[name]), x, 0), x)
    if name == "partial":
        assert torch.equal(turned(Rotary(SCALED[name]), x, 7)[4:], x[4:])


def test_layouts_pair_different_features() -> None:
    x, angle = torch.randn(8), 3 * frequencies(PLAIN, 0)[0]
    half, woven = turned(Rotary(PLAIN), x, 3), turned(Rotary(SCALED["interleaved"]), x, 3)
    cos, sin = angle.cos(), angle.sin()
    torch.testing.assert_close(half[:4], x[:4] * cos - x[4:] * sin)
    torch.testing.assert_close(half[4:], x[4:] * cos + x[:4] * sin)
    torch.testing.assert_close(woven[0::2], x[0::2] * cos - x[1::2] * sin)
    torch.testing.assert_close(woven[1::2], x[1::2] * cos + x[0::2] * sin)
    torch.testing.assert_close(turned(Rotary(SCALED["backwards"]), half, 3), x)


def test_slices_of_a_table_are_what_positions_pick() -> None:
    rope, x = Rotary(PLAIN), torch.randn(2, 5, 3, 8)
    cache = DynamicCache(())
    cache.advance(6, None, None)
    picked = begin(batch=2, new=5, device=CPU, position_ids=torch.arange(6, 11)[None])
    sliced = begin(batch=2, new=5, device=CPU, cache=cache)
    assert sliced.offset == 6
    assert torch.equal(rope.rotate(x, sliced), rope.rotate(x, picked))


def test_tables_grow_and_keep_their_values() -> None:
    rope, x = Rotary(PLAIN), torch.randn(8)
    before = turned(rope, x, 17)
    turned(rope, x, 3 * FIRST_TABLE)
    assert torch.equal(turned(rope, x, 17), before)
    assert rope._tables[torch.float32, CPU, False][0].shape[0] == 4 * FIRST_TABLE


def test_a_table_made_in_inference_mode_serves_training() -> None:
    rope = Rotary(PLAIN)
    with torch.inference_mode():
        turned(rope, torch.randn(8), 3)
    x = torch.randn(8, requires_grad=True)
    turned(rope, x, 3).sum().backward()
    assert x.grad is not None


def test_threads_share_one_rotation() -> None:
    rope, x = Rotary(PLAIN), torch.randn(8)
    results: dict[int, Tensor] = {}

    def work(position: int) -> None:
        results[position] = turned(rope, x, position)

    threads = [Thread(target=work, args=(position,)) for position in (5, FIRST_TABLE + 1, 4 * FIRST_TABLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(results[position], turned(Rotary(PLAIN), x, position)) for position in results)


def test_dynamic_scaling_starts_beyond_the_trained_length() -> None:
    spec = replace(PLAIN, scaling=DynamicScaling(factor=4.0, max_positions=16))
    x = torch.randn(8)
    assert torch.equal(turned(Rotary(spec), x, 15), turned(Rotary(PLAIN), x, 15))
    base = 50.0 * (4.0 * 21 / 16 - 3.0) ** (8 / 6)
    torch.testing.assert_close(turned(Rotary(spec), x, 20), turned(Rotary(replace(PLAIN, theta=base)), x, 20))


def test_long_rope_switches_divisors_and_factor() -> None:
    scaling = LongRopeScaling(
        short=(1.0,) * 4,
        long=(2.0,) * 4,
        original_positions=16,
        short_attention_factor=1.0,
        long_attention_factor=1.5,
    )
    rope, x = Rotary(replace(PLAIN, scaling=scaling)), torch.randn(8)
    assert torch.equal(turned(rope, x, 15), turned(Rotary(PLAIN), x, 15))
    halved = Rotary(replace(PLAIN, scaling=LinearScaling(factor=2.0)))
    torch.testing.assert_close(turned(rope, x, 16), 1.5 * turned(halved, x, 16))
    assert torch.equal(turned(rope, x, 15), turned(Rotary(PLAIN), x, 15)), "short texts after long ones"


def test_yarn_keeps_fast_pairs_and_divides_slow_ones() -> None:
    spec = Rope(
        theta=1e4, dim=64, scaling=YarnScaling(factor=4.0, original_positions=2048, attention_factor=1.1)
    )
    kept, factor = frequencies(spec, 0)
    plain = frequencies(Rope(theta=1e4, dim=64), 0)[0]
    turns = 2048 * plain / (2 * math.pi)
    torch.testing.assert_close(kept[turns > 40], plain[turns > 40])
    torch.testing.assert_close(kept[turns < 0.5], plain[turns < 0.5] / 4)
    assert bool((kept <= plain).all())
    assert factor == 1.1


NORMS: dict[str, Norm] = {
    "rms": RmsNorm(eps=1e-6),
    "rms wide": RmsNorm(eps=1e-6, cast="after_weight"),
    "rms plus one": RmsNorm(eps=1e-6, weight="plus_one", cast="after_weight"),
    "rms bare": RmsNorm(eps=1e-6, weight="none"),
    "layer": LayerNorm(eps=1e-5),
    "layer without bias": LayerNorm(eps=1e-5, bias=False),
    "layer plus one": LayerNorm(eps=1e-5, weight="plus_one"),
    "layer bare": LayerNorm(eps=1e-5, weight="none"),
}


def by_hand(name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same in double precision."""
    x, weight, bias = x.double(), weight.double(), bias.double()
    if name.startswith("layer"):
        x = x - x.mean(-1, keepdim=True)
    y = x / (x.square().mean(-1, keepdim=True) + NORMS[name].eps).sqrt()
    if "plus one" in name:
        weight = weight + 1
    y = y if "bare" in name else y * weight
    return y + bias if name in ("layer", "layer plus one") else y


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_against_their_formula(name: str, dtype: torch.dtype) -> None:
    layer = build_norm(NORMS[name], 12)
    allocate(layer, CPU)
    torch.manual_seed(0)
    x, weight, bias = 3 * torch.randn(4, 12) + 1, torch.randn(12), torch.randn(12)
    for parameter, value in layer.named_parameters():
        value.data.copy_(weight if parameter == "weight" else bias)
    layer, x = layer.to(dtype), x.to(dtype)
    with torch.no_grad():
        y = layer(x)
    assert y.dtype == dtype
    expected = by_hand(name, x, weight.to(dtype), bias.to(dtype))
    steps = 1e-5 if dtype is torch.float32 else 2**-7
    assert (y.double() - expected).abs().max() <= steps * expected.abs().max()


def test_where_the_cast_comes_is_visible_in_bfloat16() -> None:
    early, late = build_norm(NORMS["rms"], 64), build_norm(NORMS["rms wide"], 64)
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    weight = torch.randn(64, generator=torch.Generator().manual_seed(1)).bfloat16()
    for layer in (early, late):
        allocate(layer, CPU)
        layer.to(torch.bfloat16)
        layer.get_parameter("weight").data.copy_(weight)
    wide = x.float() * (x.float().square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    with torch.no_grad():
        assert torch.equal(early(x), wide.bfloat16() * weight)
        assert torch.equal(late(x), (wide * weight.float()).bfloat16())
        assert not torch.equal(early(x), late(x))


@pytest.mark.parametrize("spec", [RmsNorm(eps=1e-6), LayerNorm(eps=1e-5)])
def test_each_head_has_its_own_weight(spec: Norm) -> None:
    layer, one = build_each_head_norm(spec, 3, 8), build_norm(spec, 8)
    for built in (layer, one):
        allocate(built, CPU)
        initialize(built.modules())
    weight = torch.randn(3, 8)
    x = torch.randn(2, 5, 3, 8)
    with torch.no_grad():
        layer.get_parameter("weight").copy_(weight)
        for head in range(3):
            one.get_parameter("weight").copy_(weight[head])
            torch.testing.assert_close(layer(x)[:, :, head], one(x[:, :, head]))


@pytest.mark.parametrize("name", NORMS)
def test_new_norms_change_nothing_but_scale(name: str) -> None:
    layer = build_norm(NORMS[name], 12)
    allocate(layer, CPU)
    initialize(layer.modules())
    torch.testing.assert_close(
        layer(torch.randn(3, 12)).square().mean(-1), torch.ones(3), rtol=1e-3, atol=1e-3
    )
