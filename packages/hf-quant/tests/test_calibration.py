"""Quantizing with data: a trained model keeps its perplexity, files load, runs are resumed, bad data are refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_config import LlamaConfig
from hf_config.quantization import (
    AutoRoundConfig,
    AwqConfig,
    GPTQConfig,
    HqqConfig,
    QuantizationConfig,
    QuantoConfig,
)
from hf_modeling import LlamaForCausalLM
from hf_modeling.heads.causal_lm import CausalLM
from hf_quant import quantize_model
from hf_quant.affine import Integers
from hf_quant.calibrate import Progress, calibrate, perplexity, rows_of, smooth
from hf_quant.calibrate.moments import Moments
from hf_quant.calibrate.rounding import Grid, gptq, signed_gradient
from hf_quant.errors import AlreadyQuantizedError, CalibrationDataError, QuantizationConfigError
from hf_quant.testing.tiny import load, logits, plain_checkpoint

VOCABULARY, LENGTH = 32, 32


def sentences(rows: int, seed: int) -> Tensor:
    """A language: the next token depends on the two before it, most of the time."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (rows, LENGTH), generator=random)
    noise = torch.rand(rows, LENGTH, generator=random) < 0.15
    for t in range(2, LENGTH):
        follows = (5 * ids[:, t - 1] + ids[:, t - 2] % 2 + 7) % VOCABULARY
        ids[:, t] = torch.where(noise[:, t], ids[:, t], follows)
    return ids


@pytest.fixture(scope="module")
def trained() -> CausalLM:
    """A model that learnt the language."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(250):
        ids = sentences(32, seed=step + 10)
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


CALIBRATED: dict[str, tuple[QuantizationConfig, float]] = {
    "gptq 8": (GPTQConfig(bits=8, group_size=32), 1.01),
    "gptq 4": (GPTQConfig(bits=4, group_size=32), 1.1),
    "gptq 4, active first": (GPTQConfig(bits=4, group_size=32, desc_act=True, sym=False), 1.1),
    "gptq 4, whole rows": (GPTQConfig(bits=4, group_size=-1, act_group_aware=False), 1.15),
    "awq 4": (AwqConfig(group_size=32), 1.1),
    "auto-round 8": (AutoRoundConfig(bits=8, group_size=32), 1.01),
    "auto-round 4": (AutoRoundConfig(bits=4, group_size=32), 1.1),
}
"""Settings, and how much larger than before the perplexity may be."""


@pytest.mark.parametrize("name", CALIBRATED)
def test_a_trained_model_keeps_its_perplexity(name: str, trained: CausalLM, tmp_path: Path) -> None:
    config, bound = CALIBRATED[name]
    model, held_out = deepcopy(trained), sentences(32, seed=2)
    before = perplexity(model, held_out)
    assert before < VOCABULARY / 4, "it learnt something that rounding can spoil"
    report = calibrate(model, config, sentences(32, seed=1))
    assert perplexity(model, held_out) < before * bound
    assert report.receipt.count("quantized") == len(report.layers) == 14
    moved = torch.tensor([[line.error, line.nearest] for line in report.layers])
    assert bool((moved[:, 0] > 0).all())
    assert float(moved[:, 0].mean()) < float(moved[:, 1].mean())
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(load(tmp_path)), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "bound"),
    [
        (HqqConfig.from_dict({"nbits": 8, "group_size": 32}), 1.01),
        (HqqConfig.from_dict({"nbits": 4, "group_size": 32}), 1.15),
        (QuantoConfig(weights="int8"), 1.02),
        (QuantoConfig(weights="int4"), 1.25),
    ],
    ids=["hqq 8", "hqq 4", "quanto 8", "quanto 4"],
)
def test_methods_without_data_keep_it_too(
    config: QuantizationConfig, bound: float, trained: CausalLM
) -> None:
    model, held_out = deepcopy(trained), sentences(32, seed=2)
    before = perplexity(model, held_out)
    quantize_model(model, config)
    assert perplexity(model, held_out) < before * bound


@pytest.mark.parametrize("family", ["phi3", "qwen3_moe", "gpt2"])
@pytest.mark.parametrize("config", [GPTQConfig(group_size=32, desc_act=True), AwqConfig(group_size=32)])
def test_joined_layers_and_experts_are_saved_as_their_files_have_them(
    family: str, config: QuantizationConfig, tmp_path: Path
) -> None:
    model = load(plain_checkpoint(family, tmp_path / "plain"))
    ids = torch.randint(64, (8, 16), generator=torch.Generator().manual_seed(0))
    calibrate(model, config, ids)
    model.save_pretrained(tmp_path / "packed")
    torch.testing.assert_close(logits(load(tmp_path / "packed")), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", [GPTQConfig(group_size=32), AwqConfig(group_size=32)])
def test_a_stopped_run_goes_on_where_it_was(
    config: QuantizationConfig, trained: CausalLM, tmp_path: Path
) -> None:
    ids = sentences(8, seed=1)
    whole, stopped, again = (deepcopy(trained) for _ in range(3))
    calibrate(whole, config, ids)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(stopped, config, ids, resume=tmp_path, progress=stop)
    seen: list[Progress] = []
    report = calibrate(again, config, ids, resume=tmp_path, progress=seen.append)
    assert [p.is_resumed for p in seen] == [True, False]
    assert len(report.layers) == 14
    torch.testing.assert_close(logits(again), logits(whole), rtol=0, atol=0)
    other: list[Progress] = []
    calibrate(deepcopy(trained), config, sentences(8, seed=5), resume=tmp_path, progress=other.append)
    assert not any(p.is_resumed for p in other)


def test_smoothing_changes_no_result_and_flattens_outliers(trained: CausalLM) -> None:
    model, ids = deepcopy(trained), sentences(8, seed=1)
    with torch.no_grad():
        model.state_dict()["model.layers.0.input_layernorm.weight"][3] *= 50
        before = model(ids).logits
        named = smooth(model, ids)
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-3, atol=1e-3)
    assert "model.layers.0.self_attn.q_proj" in named
    size = model.state_dict()["model.layers.0.input_layernorm.weight"].abs()
    assert float(size[3] / size.median()) < 20


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize(
    "rounding",
    [
        lambda w, m, g: gptq(w, m, g, damp=0.01, desc_act=True, group_aware=False),
        lambda w, m, g: gptq(w, m, g, damp=0.01, desc_act=False, group_aware=True),
        lambda w, m, g: gptq(w, m, g, damp=0.01, desc_act=False, group_aware=False),
        signed_gradient,
    ],
    ids=["active first", "group aware", "in order", "signed gradient"],
)
def test_roundings_beat_the_nearest_on_correlated_inputs(
    rounding: Callable[[Tensor, Moments, Grid], Integers], bits: int
) -> None:
    random = torch.Generator().manual_seed(3)
    common = torch.randn(512, 16, generator=random) @ torch.randn(16, 64, generator=random)
    moments = Moments(64, torch.device("cpu"))
    moments.add(common + torch.randn(512, 64, generator=random))
    weight = torch.randn(32, 64, generator=random)
    grid = Grid(bits=bits, group_size=32, symmetric=True)
    made = rounding(weight, moments, grid).values(torch.float32)
    nearest = grid.nearest(weight).values(torch.float32)
    assert moments.loss(made - weight) < 0.7 * moments.loss(nearest - weight)


def test_short_or_wrong_data_are_refused(trained: CausalLM) -> None:
    with pytest.raises(CalibrationDataError, match="have 10 tokens; 4 rows of 8 take 32"):
        rows_of(torch.arange(10), samples=4, length=8)
    with pytest.raises(CalibrationDataError, match=r"\(samples, tokens\)"):
        calibrate(deepcopy(trained), GPTQConfig(group_size=32), torch.arange(10))
    with pytest.raises(QuantizationConfigError, match="not calibrated here"):
        calibrate(deepcopy(trained), HqqConfig(), sentences(2, seed=0))
    model = deepcopy(trained)
    calibrate(model, GPTQConfig(group_size=32), sentences(4, seed=0))
    with pytest.raises(AlreadyQuantizedError):
        calibrate(model, GPTQConfig(group_size=32), sentences(4, seed=0))


def test_rows_are_spread_over_the_text_without_overlap() -> None:
    rows = rows_of(torch.arange(100), samples=4, length=20)
    assert rows[0, 0] == 0
    assert rows[-1, -1] == 99
    assert len(rows.unique()) == 80
