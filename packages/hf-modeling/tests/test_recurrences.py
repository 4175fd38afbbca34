"""Each recurrence: its chunked form equals its step form, split anywhere, and a chunked gradient is the
step gradient.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hf_modeling.recurrence import (
    MlstmState,
    causal_conv,
    causal_conv_step,
    elementwise_scan,
    gated_delta,
    gated_delta_step,
    gated_linear,
    gated_linear_step,
    mlstm,
    mlstm_step,
    wkv,
)

B, H, K, V = 2, 3, 8, 5
LENGTHS = [1, 7, 16, 64, 65, 150]


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64
    )


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def inputs(length: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k = rand(B, H, length, K, seed=1), rand(B, H, length, K, seed=2)
    return q, torch.nn.functional.normalize(k, dim=-1), rand(B, H, length, V, seed=3)


@pytest.mark.parametrize("length", LENGTHS)
def test_gated_linear_steps_equal_chunks(length: int) -> None:
    q, k, v = inputs(length)
    g = -rand(B, H, length, seed=4).abs()
    start = rand(B, H, K, V, seed=5)
    outputs, end = gated_linear(q, k, v, g, start)
    state = start
    for t in range(length):
        out, state = gated_linear_step(q[:, :, t], k[:, :, t], v[:, :, t], g[:, :, t], state)
        close(outputs[:, :, t], out)
    close(end, state)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_gated_delta_steps_equal_chunks(length: int, per_channel: bool) -> None:
    q, k, v = inputs(length)
    g = -rand(B, H, length, *([K] if per_channel else []), seed=4).abs()
    beta = rand(B, H, length, seed=6).sigmoid()
    start = rand(B, H, K, V, seed=5)
    outputs, end = gated_delta(q, k, v, g, beta, start)
    state = start
    for t in range(length):
        out, state = gated_delta_step(q[:, :, t], k[:, :, t], v[:, :, t], g[:, :, t], beta[:, :, t], state)
        close(outputs[:, :, t], out)
    close(end, state)


def test_strong_channel_decays_stay_finite() -> None:
    q, k, v = (x.float() for x in inputs(64))
    outputs, end = gated_delta(q, k, v, torch.full((B, H, 64, K), -40.0), torch.ones(B, H, 64))
    assert outputs.isfinite().all()
    assert end.isfinite().all()


@pytest.mark.parametrize("length", LENGTHS)
def test_scan_equals_the_loop(length: int) -> None:
    a, b, h = rand(B, length, K, V, seed=1).sigmoid(), rand(B, length, K, V, seed=2), rand(B, K, V, seed=3)
    states, end = elementwise_scan(a, b, h)
    for t in range(length):
        h = a[:, t] * h + b[:, t]
        close(states[:, t], h)
    close(end, h)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_convolution_steps_equal_the_whole(width: int) -> None:
    x, weight, bias = rand(B, K, 9, seed=1), rand(K, width, seed=2), rand(K, seed=3)
    outputs, end = causal_conv(x, weight, bias)
    state = torch.zeros(B, K, width, dtype=x.dtype)
    for t in range(9):
        out, state = causal_conv_step(x[..., t], weight, bias, state)
        close(outputs[..., t], out)
    close(end, state)
    first, middle = causal_conv(x[..., :4], weight, bias)
    second, resumed = causal_conv(x[..., 4:], weight, bias, middle)
    close(torch.cat([first, second], -1), outputs)
    close(resumed, end)


def test_wkv_is_the_faded_softmax_of_the_past() -> None:
    decay, first = rand(K, seed=1), rand(K, seed=2)
    k, v = rand(B, 6, K, seed=3), rand(B, 6, K, seed=4)
    outputs, _ = wkv(decay, first, k, v)
    fade = decay.exp()
    for t in range(6):
        weights = [torch.exp(k[:, j] - (t - 1 - j) * fade) for j in range(t)] + [torch.exp(first + k[:, t])]
        total = torch.stack([w * v[:, j] for j, w in enumerate(weights)]).sum(0) / torch.stack(weights).sum(0)
        torch.testing.assert_close(outputs[:, t].double(), total, rtol=1e-5, atol=1e-5)


def test_wkv_resumes_from_its_state() -> None:
    decay, first, k, v = rand(K, seed=1), rand(K, seed=2), rand(B, 9, K, seed=3), rand(B, 9, K, seed=4)
    whole, end = wkv(decay, first, k, v)
    head, state = wkv(decay, first, k[:, :4], v[:, :4])
    tail, resumed = wkv(decay, first, k[:, 4:], v[:, 4:], state)
    close(torch.cat([head, tail], 1), whole)
    for left, right in zip(end, resumed, strict=True):
        close(left, right)


@pytest.mark.parametrize("length", LENGTHS)
def test_mlstm_steps_equal_chunks(length: int) -> None:
    q, k, v = inputs(length)
    i, f = rand(B, H, length, seed=4) * 3, rand(B, H, length, seed=5) * 3
    start = MlstmState(rand(B, H, K, V, seed=6), rand(B, H, K, seed=7), rand(B, H, seed=8))
    outputs, end = mlstm(q, k, v, i, f, start)
    state = start
    for t in range(length):
        out, state = mlstm_step(q[:, :, t], k[:, :, t], v[:, :, t], i[:, :, t], f[:, :, t], state)
        close(outputs[:, :, t], out)
    for left, right in zip(end, state, strict=True):
        close(left, right)


@pytest.mark.parametrize("run", [gated_linear, lambda q, k, v, g: gated_delta(q, k, v, g, g.exp())])
def test_gradients_do_not_depend_on_the_chunk(run: Callable[..., tuple[Tensor, Tensor]]) -> None:
    gradients = []
    for length in (20, 70):  # 70 positions span two chunks; the tail does not touch the first 20 outputs
        q, k, v = inputs(70)
        g = -rand(B, H, 70, seed=4).abs()
        leaves = [x[:, :, :length].clone().requires_grad_() for x in (q, k, v, g)]
        loss = run(*leaves)[0][:, :, :20].square().sum()
        gradients.append([grad[:, :, :20] for grad in torch.autograd.grad(loss, leaves)])
    for short, long in zip(*gradients, strict=True):
        close(short, long)
