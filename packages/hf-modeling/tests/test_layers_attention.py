"""Attention: backends that agree, and each mechanism against its formula written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hf_modeling.build import Building, backend_of, set_backend
from hf_modeling.build.attention import build_attention
from hf_modeling.cache import DynamicCache
from hf_modeling.errors import BackendUnsupportedError, SpecError
from hf_modeling.init import allocate, initialize
from hf_modeling.layers.attention import AttentionLayer
from hf_modeling.layers.base import Mixer
from hf_modeling.spec import (
    Attention,
    BidirectionalWindow,
    Chunk,
    ExpLogScale,
    FloorLogScale,
    GeometricAlibi,
    InterleavedAlibi,
    KeyAsValue,
    LayerNorm,
    MaskRule,
    OutputGate,
    QkNorm,
    RmsNorm,
    Rope,
    SharedKeyValue,
    Window,
)
from hf_modeling.step import Step, begin

CPU = torch.device("cpu")
WIDTH, HEADS, KV_HEADS, DIM = 24, 4, 2, 6
PLAIN = Attention(heads=HEADS, kv_heads=KV_HEADS, head_dim=DIM)
ROPE = Rope(theta=100.0, dim=DIM)


def layer(spec: Attention, backend: str | None = None) -> AttentionLayer:
    built = build_attention(spec, 0, Building(width=WIDTH, backend=backend_of(backend)))
    torch.manual_seed(0)
    allocate(built, CPU)
    initialize(built.modules(), std=0.4)
    for parameter in built.parameters():
        if parameter.ndim == 1 or parameter.shape == (HEADS, DIM):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    assert isinstance(built, AttentionLayer)
    return built.eval()


def inputs(rows: int = 2, tokens: int = 7) -> Tensor:
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


def run(built: Mixer, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        step = begin(batch=x.shape[0], new=x.shape[1], device=CPU, attention_mask=attention_mask)
        return built(x, step)


VARIANTS = {
    "plain": PLAIN,
    "rope": replace(PLAIN, rope=ROPE),
    "multi-query": replace(PLAIN, kv_heads=1),
    "window": replace(PLAIN, mask=Window(size=3)),
    "chunk": replace(PLAIN, mask=Chunk(size=3)),
    "both ways": replace(PLAIN, mask=BidirectionalWindow(size=2)),
    "biases": replace(PLAIN, qkv_bias=True, output_bias=True),
    "values wider": replace(PLAIN, value_dim=9),
    "scale": replace(PLAIN, scale=1.0),
    "norm by head": replace(PLAIN, rope=ROPE, qk_norm=QkNorm(norm=RmsNorm(eps=1e-6))),
    "norm of each head": replace(PLAIN, qk_norm=QkNorm(norm=LayerNorm(eps=1e-5), over="each_head")),
    "norm by width": replace(PLAIN, clip=0.5, qk_norm=QkNorm(norm=RmsNorm(eps=1e-6), over="width")),
    "norm after rope": replace(PLAIN, rope=ROPE, qk_norm=QkNorm(norm=RmsNorm(eps=1e-6), place="after_rope")),
    "clip": replace(PLAIN, clip=0.3),
    "value is key": replace(PLAIN, kv=KeyAsValue(), value_norm=RmsNorm(eps=1e-6, weight="none")),
    "multipliers": replace(PLAIN, key_multiplier=0.5, value_multiplier=0.7),
    "alibi": replace(PLAIN, alibi=GeometricAlibi()),
    "alibi rounded": replace(PLAIN, alibi=GeometricAlibi(rounded=True)),
    "alibi interleaved": replace(PLAIN, heads=6, alibi=InterleavedAlibi()),
    "gate by feature": replace(PLAIN, gate=OutputGate()),
    "gate by head": replace(PLAIN, gate=OutputGate(per="head", activation="softplus", head_bias=True)),
    "temperature": replace(PLAIN, position_scale=FloorLogScale(beta=0.3, period=3)),
    "output norm": replace(PLAIN, output_norm=RmsNorm(eps=1e-6)),
    "float32 scores": replace(PLAIN, scores="float32"),
}
ONLY_WRITTEN_OUT = {"softcap": replace(PLAIN, softcap=2.0), "sinks": replace(PLAIN, sinks=True)}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("padded", [False, True])
def test_backends_agree(name: str, padded: bool) -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]]) if padded else None
    eager, fused = (run(layer(VARIANTS[name], backend), inputs(), mask) for backend in ("eager", "sdpa"))
    torch.testing.assert_close(fused, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*VARIANTS, *ONLY_WRITTEN_OUT])
def test_steps_equal_one_call(name: str) -> None:
    spec = {**VARIANTS, **ONLY_WRITTEN_OUT}[name]
    if isinstance(spec.mask, BidirectionalWindow):
        pytest.skip("an encoder's mask has no steps")
    built, x = layer(spec), inputs()
    cache = DynamicCache((built.states,))
    parts = []
    with torch.no_grad():
        for start, end in ((0, 3), (3, 4), (4, 5), (5, 7)):
            step = begin(batch=2, new=end - start, device=CPU, cache=cache)
            parts.append(built(x[:, start:end], step))
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
    torch.testing.assert_close(torch.cat(parts, dim=1), run(built, x), rtol=1e-5, atol=1e-5)


def heads(x: Tensor, count: int) -> Tensor:
    return x.view(*x.shape[:2], count, -1).transpose(1, 2)


def formula(built: AttentionLayer, x: Tensor, **change: object) -> Tensor:
    """Causal attention with full keys, one head at a time, changed by hooks on the scores."""
    q, k = heads(built.q_proj(x), HEADS), heads(built.k_proj(x), KV_HEADS).repeat_interleave(2, 1)
    assert built.v_proj is not None
    v = heads(built.v_proj(x), KV_HEADS).repeat_interleave(2, 1)
    scores = q @ k.transpose(-1, -2) * DIM**-0.5
    if "softcap" in change:
        scores = 2.0 * torch.tanh(scores / 2.0)
    if "alibi" in change:
        slopes = torch.tensor([2**-2.0, 2**-4.0, 2**-6.0, 2**-8.0])[:, None, None]
        T = x.shape[1]
        scores = scores - slopes * (torch.arange(T)[:, None] - torch.arange(T)[None])
    scores = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), float("-inf"))
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    if "sinks" in change:
        assert built.sinks is not None
        weights = scores.exp() / (scores.exp().sum(-1, keepdim=True) + built.sinks.exp()[:, None, None])
    return built.o_proj((weights @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("name", ["plain", "alibi", "softcap", "sinks"])
def test_formulas(name: str) -> None:
    built, x = layer({**VARIANTS, **ONLY_WRITTEN_OUT}[name]), inputs()
    with torch.no_grad():
        torch.testing.assert_close(run(built, x), formula(built, x, **{name: True}), rtol=1e-5, atol=1e-5)


def test_temperatures() -> None:
    x = inputs(1, 5)
    plain, warm = layer(PLAIN), layer(replace(PLAIN, position_scale=FloorLogScale(beta=0.5, period=2)))
    factors = 1 + 0.5 * torch.log1p(torch.arange(5) // 2)
    queries = plain.q_proj.weight.detach() @ (x[0] * factors[:, None]).T
    stage = warm.query_stages[-1]
    step = begin(batch=1, new=5, device=CPU)
    heads_BTNH = plain.q_proj(x).view(1, 5, HEADS, DIM)
    torch.testing.assert_close(stage(heads_BTNH, step).flatten(2)[0], queries.T)
    exp = layer(replace(PLAIN, position_scale=ExpLogScale(beta=0.1, period=4))).query_stages[-1]
    expected = heads_BTNH * torch.exp(0.1 * torch.log1p((torch.arange(5) + 1) / 4))[:, None, None]
    torch.testing.assert_close(exp(heads_BTNH, begin(batch=1, new=5, device=CPU)), expected)


def test_borrowed_keys_and_values() -> None:
    building = Building(width=WIDTH, lenders=frozenset({0}))
    lender = build_attention(PLAIN, 0, building)
    borrower = build_attention(replace(PLAIN, kv=SharedKeyValue(layer=0)), 1, building)
    for seed, built in enumerate((lender, borrower)):
        torch.manual_seed(seed)
        allocate(built, CPU)
        initialize(built.modules(), std=0.4)
    assert {name for name, _ in borrower.named_parameters()} == {"q_proj.weight", "o_proj.weight"}
    assert dict(borrower.states) == {}
    x = inputs()
    step = begin(batch=2, new=7, device=CPU)
    whole = build_attention(PLAIN, 1, Building(width=WIDTH))
    allocate(whole, CPU)
    whole.load_state_dict({**lender.state_dict(), **borrower.state_dict()})
    with torch.no_grad():
        lender(x, step)
        torch.testing.assert_close(borrower(x, step), whole(x, begin(batch=2, new=7, device=CPU)))


def test_weights_are_recorded_whatever_the_backend() -> None:
    x = inputs()
    kept = []
    for backend in ("eager", "sdpa"):
        step: Step = begin(batch=2, new=7, device=CPU)
        step.attentions = []
        with torch.no_grad():
            layer(PLAIN, backend)(x, step)
        kept.append(step.attentions[0])
    assert kept[0].shape == (2, HEADS, 7, 7)
    torch.testing.assert_close(kept[0].sum(-1), torch.ones(2, HEADS, 7))
    torch.testing.assert_close(kept[0], kept[1])


def test_dropout_only_while_training() -> None:
    built, x = layer(replace(PLAIN, dropout=0.5)), inputs()
    torch.testing.assert_close(run(built, x), run(built, x))
    built.train()
    assert not torch.equal(run(built, x), run(built, x))


@pytest.mark.parametrize(("name", "what"), [("softcap", "a cap on scores"), ("sinks", "attention sinks")])
def test_a_backend_that_cannot_is_refused(name: str, what: str) -> None:
    with pytest.raises(BackendUnsupportedError, match=f"'sdpa' cannot compute {what}"):
        layer(ONLY_WRITTEN_OUT[name], "sdpa")
    built = layer(ONLY_WRITTEN_OUT[name])
    with pytest.raises(BackendUnsupportedError, match="attn_implementation='eager'"):
        set_backend(built, "sdpa")


def test_backends_change_by_name() -> None:
    built, x = layer(PLAIN), inputs()
    before = run(built, x)
    set_backend(built, "eager")
    assert built.scoring.attend is built.scoring.eager
    torch.testing.assert_close(run(built, x), before)
    with pytest.raises(BackendUnsupportedError, match="no attention backend 'fast'"):
        set_backend(built, "fast")


def test_heads_must_divide() -> None:
    with pytest.raises(SpecError, match="4 query heads cannot share 3 key heads"):
        layer(replace(PLAIN, kv_heads=3))


def test_gradients_agree() -> None:
    gradients = []
    for backend in ("eager", "sdpa"):
        built = layer(replace(PLAIN, rope=ROPE), backend)
        x = inputs().requires_grad_()
        built(x, begin(batch=2, new=7, device=CPU)).square().sum().backward()
        assert x.grad is not None
        assert built.k_proj.weight.grad is not None
        gradients.append((x.grad, built.k_proj.weight.grad))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", [Window(size=3), Chunk(size=3)])
def test_memory_of_a_window_is_bounded(rule: MaskRule) -> None:
    built = layer(replace(PLAIN, mask=rule))
    cache = DynamicCache((built.states,))
    with torch.no_grad():
        for _ in range(500):
            step = begin(batch=2, new=1, device=CPU, cache=cache)
            built(inputs(2, 1), step)
            cache.advance(1, None, None)
    assert cache.nbytes() < 2 * 2 * 2 * KV_HEADS * DIM * 4 * 80
