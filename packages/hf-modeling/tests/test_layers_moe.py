"""Mixtures of experts against a loop over tokens, and routers against their formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_modeling.build.ffn import build_ffn, build_moe
from hf_modeling.errors import SpecError
from hf_modeling.init import allocate, initialize
from hf_modeling.layers.moe import GatedExpertsLayer, MoeLayer
from hf_modeling.layers.routing import choice, rescale
from hf_modeling.spec import (
    ChosenSigmoid,
    ChosenSoftmax,
    ClampedSwiglu,
    DualFfn,
    GatedExperts,
    GatedMlp,
    Groups,
    Moe,
    PlainExperts,
    PowerRenorm,
    Renorm,
    RmsNorm,
    Router,
    RouterInput,
    SharedExpert,
    SigmoidScores,
    SoftmaxScores,
    SparseMixer,
    SumRenorm,
)
from hf_modeling.step import begin

CPU = torch.device("cpu")
WIDTH, EXPERTS = 8, 6
PLAIN = Moe(
    count=EXPERTS,
    top_k=2,
    width=12,
    router=Router(scores=SoftmaxScores(), renorm=SumRenorm()),
    experts=GatedExperts(activation="silu"),
)


def built(spec: Moe) -> MoeLayer:
    layer = build_moe(spec, WIDTH)
    torch.manual_seed(0)
    allocate(layer, CPU)
    initialize(layer.modules(), std=0.5)
    for parameter in (*layer.parameters(), *layer.buffers()):
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return layer.eval()


def inputs(tokens: int = 10) -> Tensor:
    return torch.randn(2, tokens, WIDTH, generator=torch.Generator().manual_seed(1))


def run(layer: MoeLayer, x: Tensor) -> Tensor:
    return layer(x, begin(batch=x.shape[0], new=x.shape[1], device=CPU))


def one_by_one(layer: MoeLayer, x: Tensor) -> Tensor:
    """Each token through each of its experts, with nothing sorted."""
    experts = layer.experts
    assert isinstance(experts, GatedExpertsLayer)
    rows = []
    for token in x.reshape(-1, WIDTH):
        weights, chosen = layer.gate(token[None], None)
        total = torch.zeros(WIDTH)
        for weight, expert in zip(weights[0], chosen[0], strict=True):
            given = token * weight if layer.weight_on_input else token
            gate, up = (experts.gate_up_proj[expert] @ given).chunk(2)
            made = experts.down_proj[expert] @ (F.silu(gate) * up)
            total = total + (made if layer.weight_on_input else made * weight)
        rows.append(total)
    return torch.stack(rows).view(x.shape)


@pytest.mark.parametrize("on", ["output", "input"])
@pytest.mark.parametrize("tokens", [1, 10, 200])
@pytest.mark.parametrize("width", [12, 9])
def test_sorted_execution_equals_one_by_one(on: str, tokens: int, width: int) -> None:
    layer = built(replace(PLAIN, weight_on="input" if on == "input" else "output", width=width))
    x = inputs(tokens)
    with torch.no_grad():
        torch.testing.assert_close(run(layer, x), one_by_one(layer, x), rtol=1e-5, atol=1e-5)


def test_gradients_equal_one_by_one() -> None:
    gradients = []
    for compute in (run, one_by_one):
        layer, x = built(PLAIN), inputs().requires_grad_()
        compute(layer, x).square().sum().backward()
        assert x.grad is not None
        gradients.append([x.grad, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_idle_experts_do_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, calls = built(PLAIN), []
    linear = F.linear

    def counting(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        calls.append(x.shape[0])
        return linear(x, weight, bias)

    monkeypatch.setattr(F, "linear", counting)
    x = inputs(1)[:1]
    run(layer, x)
    assert calls == [1, *[1, 1], *[1, 1]], "the router, two experts in, two experts out"


def test_expert_biases_and_clamped_gating() -> None:
    gated = ClampedSwiglu(limit=0.5, alpha=1.5, offset=1.0)
    layer = built(replace(PLAIN, experts=GatedExperts(activation=gated, bias=True)))
    experts = layer.experts
    assert isinstance(experts, GatedExpertsLayer)
    assert experts.gate_up_proj_bias is not None
    assert experts.down_proj_bias is not None
    torch.nn.init.normal_(experts.gate_up_proj_bias)
    torch.nn.init.normal_(experts.down_proj_bias)
    x = inputs(1)[:1]
    with torch.no_grad():
        weights, chosen = layer.gate(x[0], None)
        expected = torch.zeros(WIDTH)
        for weight, expert in zip(weights[0], chosen[0], strict=True):
            gate, up = (experts.gate_up_proj[expert] @ x[0, 0] + experts.gate_up_proj_bias[expert]).chunk(2)
            gate, up = gate.clamp(max=0.5), up.clamp(-0.5, 0.5)
            inner = (up + 1) * gate * torch.sigmoid(1.5 * gate)
            expected += weight * (experts.down_proj[expert] @ inner + experts.down_proj_bias[expert])
        torch.testing.assert_close(run(layer, x)[0, 0], expected)


@pytest.mark.parametrize("combine", ["sum", "average"])
def test_shared_experts(combine: str) -> None:
    how = SharedExpert(
        width=5, activation="silu", token_gate=True, combine="average" if combine == "average" else "sum"
    )
    layer, bare, x = built(replace(PLAIN, shared=how)), built(PLAIN), inputs()
    assert layer.shared_expert is not None
    assert layer.shared_expert.token_gate is not None
    bare.load_state_dict({k: v for k, v in layer.state_dict().items() if "shared" not in k})
    with torch.no_grad():
        step = begin(batch=2, new=10, device=CPU)
        always = layer.shared_expert.mlp(x, step) * torch.sigmoid(layer.shared_expert.token_gate(x))
        both = run(bare, x) + always
        torch.testing.assert_close(run(layer, x), both / 2 if combine == "average" else both)


def test_latent_experts_and_ungated_ones() -> None:
    layer = built(replace(PLAIN, latent=4, experts=PlainExperts(activation="relu2"), output_bias=True))
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes["experts.up_proj"] == (EXPERTS, 12, 4)
    assert shapes["fc1_latent_proj.weight"] == (4, WIDTH)
    assert shapes["bias"] == (WIDTH,)
    assert run(layer, inputs()).shape == (2, 10, WIDTH)


LOGITS = torch.tensor([[2.0, 1.0, 0.5, -1.0], [-3.0, 0.0, 0.1, 0.2]])


def chosen(
    router: Router, correction: Tensor | None = None, top_k: int = 2
) -> tuple[Tensor, list[list[int]]]:
    weights, experts = choice(router, top_k)(LOGITS, correction)
    return rescale(router.renorm, router.scale)(weights), experts.tolist()


def test_scores_before_and_after_the_choice() -> None:
    weights, experts = chosen(Router(scores=SoftmaxScores()))
    assert experts == [[0, 1], [3, 2]]
    torch.testing.assert_close(weights, LOGITS.softmax(-1).gather(1, torch.tensor(experts)))
    weights, _ = chosen(Router(scores=ChosenSoftmax()))
    torch.testing.assert_close(weights[0], torch.tensor([2.0, 1.0]).softmax(-1))
    weights, _ = chosen(Router(scores=ChosenSigmoid()))
    torch.testing.assert_close(weights[1], torch.tensor([0.2, 0.1]).sigmoid())


def test_renormalisations() -> None:
    raw = LOGITS.sigmoid().gather(1, torch.tensor([[0, 1], [3, 2]]))
    cases: dict[Renorm, Tensor] = {
        SumRenorm(): raw / raw.sum(-1, keepdim=True),
        SumRenorm(eps=0.5): raw / (raw.sum(-1, keepdim=True) + 0.5),
        SumRenorm(floor=10.0): raw / 10.0,
        PowerRenorm(p=2.0): raw / raw.square().sum(-1, keepdim=True).sqrt(),
    }
    for renorm, expected in cases.items():
        weights, _ = chosen(Router(scores=SigmoidScores(), renorm=renorm, scale=3.0))
        torch.testing.assert_close(weights, 3 * expected)


def test_corrections_choose_and_do_not_weigh() -> None:
    correction = torch.tensor([-5.0, 0.0, 0.0, 5.0])
    weights, experts = chosen(Router(scores=SigmoidScores()), correction)
    assert experts[0] == [3, 1]
    torch.testing.assert_close(weights[0], LOGITS[0, [3, 1]].sigmoid())


def test_only_the_best_groups_are_chosen_from() -> None:
    scores = SigmoidScores()
    _, best = chosen(Router(scores=scores, groups=Groups(count=2, keep=1, score="max")))
    _, pair = chosen(Router(scores=scores, groups=Groups(count=2, keep=1)))
    assert best == [[0, 1], [3, 2]]
    assert pair == [[0, 1], [3, 2]]
    lopsided = torch.tensor([[3.0, -9.0, 2.0, 2.0]])
    by_best = choice(Router(scores=scores, groups=Groups(count=2, keep=1, score="max")), 2)(lopsided, None)[1]
    by_pair = choice(Router(scores=scores, groups=Groups(count=2, keep=1)), 2)(lopsided, None)[1]
    assert (by_best.tolist(), by_pair.tolist()) == ([[0, 1]], [[2, 3]])


def test_sparse_mixer_weighs_by_near_logits_alone() -> None:
    logits = torch.tensor([[1.0, 0.995, 0.2, -4.0]])
    weights, experts = choice(Router(scores=SparseMixer(jitter=0.01)), 2)(logits, None)
    assert experts.tolist() == [[0, 1]]
    torch.testing.assert_close(weights[0, 0], logits[0, :2].softmax(-1)[0])
    torch.testing.assert_close(weights[0, 1], torch.tensor(1.0))


def test_router_options() -> None:
    scores = SoftmaxScores()
    capped = built(
        replace(PLAIN, router=Router(scores=scores, logit_cap=0.5, precision="float32", bias=True))
    )
    x = inputs()[0]
    logits = F.linear(x, capped.gate.weight, capped.gate.bias)
    expected = (0.5 * torch.tanh(logits / 0.5)).softmax(-1).topk(2).values
    torch.testing.assert_close(capped.gate(x, None)[0], expected)
    norm = RmsNorm(eps=1e-6, weight="none")
    viewed = Router(scores=scores, expert_scale=True, input=RouterInput(norm=norm, multiplier=0.3))
    layer = built(replace(PLAIN, router=viewed))
    assert layer.gate.input is not None
    assert layer.gate.per_expert_scale is not None
    seen = F.rms_norm(x, (WIDTH,), None, 1e-6) * layer.gate.input.scale * 0.3
    weights, experts = F.linear(seen, layer.gate.weight).softmax(-1).topk(2)
    torch.testing.assert_close(layer.gate(x, None)[0], weights * layer.gate.per_expert_scale[experts])


def test_dense_and_sparse_side_by_side() -> None:
    norm = RmsNorm(eps=1e-6)
    spec = DualFfn(
        dense=GatedMlp(width=7, activation="gelu_tanh"),
        dense_norm=norm,
        dense_output_norm=norm,
        sparse=PLAIN,
        sparse_norm=norm,
        sparse_output_norm=norm,
    )
    layer = build_ffn(spec, WIDTH, 0)
    allocate(layer, CPU)
    initialize(layer.modules(), std=0.5)
    x, step = inputs(), begin(batch=2, new=10, device=CPU)
    step.router_logits = []
    with torch.no_grad():
        layer(x, step)
        gate = layer.get_parameter("sparse.gate.weight")
        torch.testing.assert_close(step.router_logits[0], F.linear(x.flatten(0, 1), gate))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (replace(PLAIN, top_k=7), "7 experts for each token, but only 6 of 6 can be chosen"),
        (
            replace(PLAIN, router=Router(scores=SigmoidScores(), groups=Groups(count=4, keep=1))),
            "6 experts cannot form 4 equal groups",
        ),
        (
            replace(PLAIN, top_k=4, router=Router(scores=SigmoidScores(), groups=Groups(count=2, keep=1))),
            "4 experts for each token, but only 3 of 6 can be chosen",
        ),
    ],
)
def test_impossible_counts_are_refused(spec: Moe, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        build_moe(spec, WIDTH)
