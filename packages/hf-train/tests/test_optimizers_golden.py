"""Ten float64 steps of every optimizer of our own, against values that the defining libraries computed.

`golden/optimizers.json` names the libraries. The parameters and gradients are made below; after five steps the
state goes through a file, as in a resumed run.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hf_train.optim import (
    Adafactor,
    AdEMAMix,
    ApolloAdamW,
    GaLoreAdamW,
    Group,
    Lion,
    ScheduleFree,
    ScheduleFreeAdamW,
    ScheduleFreeRAdam,
    ScheduleFreeSGD,
    StableAdamW,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "optimizers.json").read_text())["values"]
Make = Callable[[list[nn.Parameter]], Optimizer]


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(7)
    shapes = ((6, 4), (3, 8), (5,))
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def set_gradients(step: int, params: list[nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for param in params:
        noise = torch.randn(param.shape, generator=generator, dtype=torch.float64)
        param.grad = (noise * (1 + step % 3)).add_(0.1 * param.detach())


def through_a_file(optimizer: Optimizer, fresh: Optimizer) -> Optimizer:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


def ten_steps(make: Make) -> list[Tensor]:
    params = parameters()
    optimizer = make(params)
    if isinstance(optimizer, ScheduleFree):
        optimizer.train()
    for step in range(10):
        set_gradients(step, params)
        optimizer.step()
        if step == 4:
            optimizer = through_a_file(optimizer, make(params))
    if isinstance(optimizer, ScheduleFree):
        optimizer.eval()
    return [param.detach() for param in params]


def low_rank(params: list[nn.Parameter], kind: str = "std", **more: object) -> list[Group]:
    subspace = {"rank": 2, "update_proj_gap": 4, "scale": 0.25, "proj_type": kind, **more}
    return [{"params": [params[2]]}, {"params": params[:2], **subspace}]


def galore(kind: str) -> Make:
    return lambda p: GaLoreAdamW(low_rank(p, kind), lr=1e-2, weight_decay=0.1)


def apollo(scale_type: str, proj: str) -> Make:
    def make(params: list[nn.Parameter]) -> Optimizer:
        groups = low_rank(params, scale_type=scale_type, proj=proj, scale=4.0)
        return ApolloAdamW(groups, lr=1e-2, weight_decay=0.1)

    return make


CASES: dict[str, Make] = {
    "adafactor": lambda p: Adafactor(p, 1e-2, scale_parameter=False, relative_step=False, weight_decay=0.1),
    "adafactor_relative": lambda p: Adafactor(p, warmup_init=True, beta1=0.9),
    "schedule_free_adamw": lambda p: ScheduleFreeAdamW(p, 1e-2, weight_decay=0.1, warmup_steps=3, r=0.5),
    "schedule_free_sgd": lambda p: ScheduleFreeSGD(p, 1e-1, weight_decay=0.1, warmup_steps=3),
    "schedule_free_radam": lambda p: ScheduleFreeRAdam(p, 1e-2, weight_decay=0.1),
    "schedule_free_radam_loud": lambda p: ScheduleFreeRAdam(p, 1e-2, silent_sgd_phase=False),
    "stable_adamw": lambda p: StableAdamW(p, 1e-2, weight_decay=0.1),
    "stable_adamw_decoupled": lambda p: StableAdamW(p, 1e-2, weight_decay=0.1, decouple_lr=True, max_lr=0.05),
    "lion": lambda p: Lion(p, 1e-2, weight_decay=0.1),
    "ademamix": lambda p: AdEMAMix(p, 1e-2, weight_decay=0.1, t_alpha=8, t_beta3=8),
    "ademamix_at_once": lambda p: AdEMAMix(p, 1e-2, weight_decay=0.1),
    **{f"galore_{kind}": galore(kind) for kind in ("std", "reverse_std", "left", "right", "full")},
    "galore_adafactor": lambda p: Adafactor(
        low_rank(p), 1e-2, scale_parameter=False, relative_step=False, weight_decay=0.1
    ),
    **{
        f"apollo_{scale}_{proj}": apollo(scale, proj)
        for scale in ("channel", "tensor")
        for proj in ("random", "svd")
    },
}


def test_every_golden_value_has_a_case() -> None:
    assert set(CASES) == set(GOLDEN)


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_equal_the_defining_library(name: str) -> None:
    for ours, golden in zip(ten_steps(CASES[name]), GOLDEN[name], strict=True):
        torch.testing.assert_close(ours, torch.tensor(golden, dtype=torch.float64), rtol=0, atol=1e-12)
