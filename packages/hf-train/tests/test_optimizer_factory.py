"""`make_optimizer`: names, options, groups, and what it says when it cannot."""

import contextlib
import math
import warnings

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from hf_hub_io.errors import MissingPackageError
from hf_train.optim import (
    OPTIMIZERS,
    Adafactor,
    AnyPrecisionAdamW,
    GaLoreAdamW,
    Layerwise,
    Muon,
    OptimizerError,
    ScheduleFree,
    ScheduleFreeAdamW,
    make_optimizer,
    parse_options,
)
from hf_train.optim.muon import orthogonalized


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)
        self.lm_head = nn.Linear(8, 11, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.lm_head(self.down(self.up(self.embed(ids)).relu()))
        return hidden


def loss(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(22).view(2, 11) % 11
    return nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.roll(1, dims=1).flatten())


def built(name: str, model: nn.Module, **settings: object) -> Optimizer:
    needs = {"model": model, "target_modules": "all-linear"} if name.startswith(("galore", "apollo")) else {}
    if name == "muon":
        needs = {"model": model}
    return make_optimizer(name, model.parameters(), **{"learning_rate": 1e-2, **needs, **settings})  # type: ignore[arg-type]  # settings of the case


OURS = [
    name
    for name in OPTIMIZERS
    if "bnb" not in name and not name.endswith(("_8bit", "_4bit")) and name != "grokadamw"
]
OURS = [name for name in OURS if not name.startswith("paged")]


@pytest.mark.parametrize("name", OURS)
def test_each_optimizer_lowers_the_loss(name: str) -> None:
    model = Net()
    rank = {"options": "rank=4"} if name.startswith(("galore", "apollo")) else {}
    # Gradient descent needs longer steps than the adaptive ones, Adagrad begins with long ones.
    rate = {"sgd": 0.5, "schedule_free_sgd": 2.0, "schedule_free_radam": 0.1, "adagrad": 0.1}.get(name, 2e-2)
    optimizer = built(name, model, learning_rate=rate, **rank)
    if isinstance(optimizer, ScheduleFree):
        optimizer.train()
    before = loss(model).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    if isinstance(optimizer, ScheduleFree):
        optimizer.eval()
    assert loss(model).item() < 0.8 * before


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - set(OURS)))
def test_an_optimizer_of_a_library_is_built_or_says_how_to_install_it(name: str) -> None:
    with warnings.catch_warnings(), contextlib.suppress(MissingPackageError):
        warnings.simplefilter("ignore")  # what the libraries warn about when they are imported
        optimizer = built(name, Net())
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 6
        return
    with pytest.raises(MissingPackageError, match="pip install"):
        built(name, Net())


def test_settings_of_a_group_win() -> None:
    model = Net()
    groups = [
        {"params": [model.up.weight], "weight_decay": 0.3},
        {"params": [model.up.bias], "weight_decay": 0.0, "lr": 7.0},
    ]
    made = make_optimizer(
        "adamw_torch", groups, learning_rate=1.0, weight_decay=0.1, betas=(0.8, 0.9), epsilon=1e-5
    )
    assert isinstance(made, AdamW)
    shown = [
        (group["lr"], group["weight_decay"], group["betas"], group["eps"]) for group in made.param_groups
    ]
    assert shown == [(1.0, 0.3, (0.8, 0.9), 1e-5), (7.0, 0.0, (0.8, 0.9), 1e-5)]


def test_options_are_text_or_a_mapping() -> None:
    model = Net()
    for options in ("momentum=0.9, nesterov=true", {"momentum": 0.9, "nesterov": True}):
        made = make_optimizer("sgd", model.parameters(), options=options)
        assert isinstance(made, SGD)
        assert (made.defaults["momentum"], made.defaults["nesterov"]) == (0.9, True)
    assert parse_options("a=1,b=x") == {"a": "1", "b": "x"}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("adamw_trch", {}, "did you mean 'adamw_torch'"),
        ("sgd", {"options": "momentun=0.9"}, "has no option 'momentun'"),
        ("sgd", {"options": "momentum"}, "is not name=value"),
        ("sgd", {"options": "momentum=fast"}, "momentum is 'fast', expected a number"),
        ("sgd", {"options": "nesterov=maybe"}, "expected true or false"),
        ("galore_adamw", {}, "needs to know which layers"),
        ("galore_adamw", {"target_modules": "all-linear"}, "needs the model"),
        ("galore_adamw", {"target_modules": ["attn"], "model": Net()}, "names no linear layer"),
        (
            "galore_adamw",
            {"target_modules": "all-linear", "model": Net(), "options": "proj_type=up"},
            "expected one",
        ),
        ("lomo", {}, "a backward pass of its own"),
    ],
)
def test_what_cannot_be_is_said(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(OptimizerError, match=said):
        make_optimizer(name, Net().parameters(), **settings)  # type: ignore[arg-type]  # settings of the case


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(OptimizerError, match="no parameter"):
        make_optimizer("sgd", [])


def test_only_the_named_layers_are_projected() -> None:
    model = Net()
    groups = [
        {"params": [model.up.weight, model.down.weight, model.embed.weight], "weight_decay": 0.1},
        {"params": [model.up.bias, model.down.bias], "weight_decay": 0.0},
    ]
    made = make_optimizer("galore_adamw", groups, model=model, target_modules=["up"], options={"rank": 4})
    assert isinstance(made, GaLoreAdamW)
    projected = [group for group in made.param_groups if "rank" in group]
    assert [param is model.up.weight for group in projected for param in group["params"]] == [True]
    assert projected[0]["weight_decay"] == 0.1
    assert [len(group["params"]) for group in made.param_groups] == [2, 1, 2]


def test_muon_takes_the_matrices_between_embedding_and_head() -> None:
    model = Net()
    made = make_optimizer("muon", model.parameters(), model=model)
    assert isinstance(made, Muon)
    taken = {param for group in made.param_groups if group["muon"] for param in group["params"]}
    assert taken == {model.up.weight, model.down.weight}


def test_an_orthogonal_update_has_equal_singular_values() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(12, 5, dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalized(matrix))
    assert 0.65 < values.min() < values.max() < 1.25
    turned = torch.linalg.svdvals(orthogonalized(matrix.t().contiguous()))
    torch.testing.assert_close(values, turned)


def test_muon_steps_as_pytorch_does() -> None:
    torch.manual_seed(0)
    start = torch.randn(8, 4)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one = Muon([{"params": [ours], "muon": True}], 1e-2, weight_decay=0.1)
    other = torch.optim.Muon([theirs], 1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        ours.grad = torch.randn(8, 4)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    # PyTorch iterates in bfloat16, we in float32.
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-2 * 0.03 * 5)


@pytest.mark.parametrize("name", ["galore_adamw", "galore_adafactor", "apollo_adamw"])
def test_layerwise_moves_as_the_whole_does_and_frees_gradients(name: str) -> None:
    whole, parts = Net(), Net()
    settings = {"options": "rank=4,update_proj_gap=2", "weight_decay": 0.1}
    if name == "apollo_adamw":  # the random subspaces of the whole are numbered by tensor
        settings["options"] = "rank=4,update_proj_gap=2,proj=svd"
    one, other = built(name, whole, **settings), built(f"{name}_layerwise", parts, **settings)
    assert isinstance(other, Layerwise)
    for step in range(4):
        for optimizer in (one, other):
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 / (1 + step)
        loss(whole).backward()
        one.step()
        one.zero_grad()
        loss(parts).backward()
        assert all(param.grad is None for param in parts.parameters())
        other.step()
        if step == 1:
            state = other.state_dict()
            other.detach()
            resumed = built(f"{name}_layerwise", parts, **settings)
            assert isinstance(resumed, Layerwise)
            resumed.load_state_dict(state)
            other = resumed
    for expected, found in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_schedule_free_refuses_to_step_unprepared() -> None:
    model = Net()
    made = make_optimizer("schedule_free_adamw", model.parameters(), warmup_steps=3)
    assert isinstance(made, ScheduleFreeAdamW)
    assert made.defaults["warmup_steps"] == 3
    loss(model).backward()
    with pytest.raises(RuntimeError, match="without train"):
        made.step()


def test_kahan_sums_keep_what_bfloat16_rounds_away() -> None:
    def trained(kahan: bool) -> float:
        param = nn.Parameter(torch.full((4,), 100.0, dtype=torch.bfloat16))
        optimizer = AnyPrecisionAdamW([param], 1e-2, use_kahan_summation=kahan)
        for _ in range(200):
            param.grad = torch.ones_like(param)
            optimizer.step()
        return param.float().mean().item()

    assert trained(kahan=False) == 100.0
    assert math.isclose(trained(kahan=True), 98.0, abs_tol=0.5)


def test_adafactor_of_half_precision_works_in_float32() -> None:
    param = nn.Parameter(torch.ones(4, 3, dtype=torch.bfloat16))
    optimizer = Adafactor([param], 1e-3, scale_parameter=False, relative_step=False)
    param.grad = torch.full_like(param, 0.5)
    optimizer.step()
    assert optimizer.state[param]["exp_avg_sq_row"].dtype == torch.float32
    assert param.dtype == torch.bfloat16


def test_a_closure_gives_its_loss() -> None:
    model = Net()
    optimizer = make_optimizer("lion_32bit", model.parameters())

    def closure() -> float:
        value = loss(model)
        value.backward()
        return value.item()

    assert optimizer.step(closure) == pytest.approx(math.log(11), abs=0.5)
