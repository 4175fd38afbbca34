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
from hf_hub_io.discover import discover
from hf_hub_io.errors import HfError
from hf_hub_io.repo import Repo
from hf_modeling.quantizer import QuantizerRequest, settings_beside
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
from hf_modeling.weights.source import Source, open_source

SETTINGS = {"quant_method": "bitsandbytes", "load_in_8bit": True}


class RowwiseHead(nn.Module):
    """A vocabulary projection in 8-bit numbers with a scale per row."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.empty(VOCAB, WIDTH, dtype=torch.int8, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(VOCAB, device="meta"), requires_grad=False)


class Nothing:
    """A receipt without lines."""

    def to_json(self) -> str:
        return "[]"


class Rowwise:
    """A quantizer of one module, by hand."""

    def __init__(self, request: QuantizerRequest) -> None:
        assert request.stored is not None
        assert request.method == "bitsandbytes"
        self.config: QuantizationConfig = request.stored
        self.report = Nothing()
        self.metadata = {"packed": "by hand"}
        self.sidecars = {"beside.json": b"{}"}

    def prepare(self, model: nn.Module, source: Source, table: WeightTable) -> tuple[Source, WeightTable]:
        assert all(p.is_meta for p in model.parameters())
        model.add_module("lm_head", RowwiseHead())
        return source, replace(table, fp32=(*table.fp32, "lm_head.weight_scale"))

    def finish(self, model: nn.Module) -> None:
        assert not any(p.is_meta for p in model.parameters())
        model.register_buffer("finished", torch.ones(()), persistent=False)

    def table(self, table: WeightTable) -> WeightTable:
        return table

    def dequantize(self, model: nn.Module, dtype: torch.dtype) -> None:
        head = model.get_submodule("lm_head")
        assert isinstance(head, RowwiseHead)
        plain = nn.Linear(WIDTH, VOCAB, bias=False)
        plain.weight = nn.Parameter((head.weight * head.weight_scale[:, None]).to(dtype))
        model.add_module("lm_head", plain)


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


def test_saving_asks_the_quantizer_what_else_to_write(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "bitsandbytes")
    model = ToyForCausalLM.from_pretrained(folder)
    copy = tmp_path_factory.mktemp("copy")
    model.save_pretrained(copy)
    assert (copy / "beside.json").read_text() == "{}"
    assert discover(Repo.open(copy)).metadata == {"format": "pt", "packed": "by hand"}
    assert json.loads((copy / "config.json").read_text())["quantization_config"] == SETTINGS
    stored, again = _stored(folder), _stored(copy)
    assert stored.keys() == again.keys()
    assert all(torch.equal(stored[name], again[name]) for name in stored)


def test_a_dequantized_model_is_like_any_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "bitsandbytes")
    model = ToyForCausalLM.from_pretrained(folder)
    model.dequantize(torch.float32)
    head = model.get_submodule("lm_head")
    assert isinstance(head, nn.Linear)
    assert torch.equal(
        head.weight.detach(),
        (torch.arange(VOCAB * WIDTH).view(VOCAB, WIDTH).to(torch.int8))
        * (torch.arange(VOCAB) / 127)[:, None],
    )
    assert model.quantizer is None
    assert model.quantization_report is None
    assert model.config.quantization_config is None


@pytest.mark.parametrize(
    ("file", "content", "method"),
    [
        (
            "hf_quant_config.json",
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}},
            "modelopt",
        ),
        ("quantize_config.json", {"bits": 4, "group_size": 32}, "gptq"),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 32}, "awq"),
    ],
)
def test_settings_may_lie_in_a_file_of_their_own(
    folder: Path, file: str, content: dict[str, object], method: str
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["quantization_config"]
    path.write_text(json.dumps(config))
    (folder / file).write_text(json.dumps(content))
    repo = Repo.open(folder)
    found = settings_beside(repo, open_source(discover(repo)))
    assert found is not None
    assert found.quant_method == method


def test_a_missing_scale_is_a_missing_weight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "bitsandbytes")
    tensors = {name: t for name, t in _stored(folder).items() if name != "lm_head.weight_scale"}
    write_tensors(folder, tensors)
    with pytest.raises(MissingWeightsError, match=r"lm_head\.weight_scale"):
        ToyForCausalLM.from_pretrained(folder)


def _stored(folder: Path) -> dict[str, Tensor]:
    from hf_modeling.weights.convert import read_tensors as read_any

    return dict(read_any(folder))
