"""The joint with quantizers: who is asked, when, and what loading does with packed tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hf_config.quantization import QuantizationConfig
from hf_hub_io.errors import HfError
from hf_modeling.testing.toy import (
    VOCAB,
    WIDTH,
    ToyConfig,
    ToyForCausalLM,
    read_tensors,
    write_tensors,
)
from hf_modeling.weights import WeightTable
from hf_modeling.weights.errors import MissingWeightsError, QuantizerMissingError
from hf_modeling.weights.source import Source

SETTINGS = {"quant_method": "bitsandbytes", "load_in_8bit": True}


class RowwiseHead(nn.Module):
    """A vocabulary projection in 8-bit numbers with a scale per row."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.empty(VOCAB, WIDTH, dtype=torch.int8, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(VOCAB, device="meta"), requires_grad=False)


class Rowwise:
    """A quantizer of one module, by hand."""

    def __init__(self, config: QuantizationConfig) -> None:
        assert config.quant_method == "bitsandbytes"

    def prepare(self, model: nn.Module, source: Source, table: WeightTable) -> tuple[Source, WeightTable]:
        assert all(p.is_meta for p in model.parameters())
        model.add_module("lm_head", RowwiseHead())
        return source, replace(table, fp32=(*table.fp32, "lm_head.weight_scale"))

    def finish(self, model: nn.Module) -> None:
        assert not any(p.is_meta for p in model.parameters())
        model.register_buffer("finished", torch.ones(()), persistent=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A toy whose head is packed, with the settings in its config."""
    ToyForCausalLM(ToyConfig()).save_pretrained(tmp_path)
    tensors: Mapping[str, Tensor] = read_tensors(tmp_path)
    packed = torch.arange(VOCAB * WIDTH).view(VOCAB, WIDTH).to(torch.int8)
    write_tensors(
        tmp_path, {**tensors, "lm_head.weight": packed, "lm_head.weight_scale": torch.arange(VOCAB) / 127}
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": SETTINGS}))
    return tmp_path


def install(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    entry = EntryPoint(method, f"{__name__}:Rowwise", "hf_modeling.quantizers")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Rowwise)
    monkeypatch.setattr(
        "hf_modeling.quantizer.entry_points", lambda **wanted: EntryPoints((entry,)).select(**wanted)
    )


def test_without_a_quantizer_the_line_that_installs_one_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "gptq")
    with pytest.raises(QuantizerMissingError) as error:
        ToyForCausalLM.from_pretrained(folder)
    assert isinstance(error.value, HfError | ImportError)
    assert str(error.value) == (
        f"{folder} is quantized with 'bitsandbytes', which no installed package reads; "
        "installed quantizers read gptq\n  fix: pip install hf-quant"
    )


def test_packed_tensors_keep_their_type_and_scales_their_precision(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "bitsandbytes")
    model = ToyForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    head = model.get_submodule("lm_head")
    assert isinstance(head, RowwiseHead)
    assert head.weight.dtype == torch.int8
    assert head.weight.flatten()[:3].tolist() == [0, 1, 2]
    assert not head.weight.requires_grad
    assert torch.equal(head.weight_scale, torch.arange(VOCAB) / 127)
    assert "finished" in dict(model.named_buffers())
    assert model.config.quantization_config is not None


def test_a_missing_scale_is_a_missing_weight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "bitsandbytes")
    tensors = {name: t for name, t in _stored(folder).items() if name != "lm_head.weight_scale"}
    write_tensors(folder, tensors)
    with pytest.raises(MissingWeightsError, match=r"lm_head\.weight_scale"):
        ToyForCausalLM.from_pretrained(folder)


def _stored(folder: Path) -> dict[str, Tensor]:
    from hf_modeling.weights.convert import read_tensors as read_any

    return dict(read_any(folder))
