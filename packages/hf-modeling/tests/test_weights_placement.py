"""Device maps on a machine with one processor: what stays on disk, what is read when, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from hf_config import LlamaConfig
from hf_hub_io.errors import MissingPackageError
from hf_modeling import LlamaForCausalLM
from hf_modeling.device_map import DeviceMap, DeviceMapError, plan_devices
from hf_modeling.weights.source import SafetensorsSource

IDS = torch.arange(1, 7)[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved tiny Llama with a tied head."""
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    ).save_pretrained(tmp_path)
    return tmp_path


@torch.no_grad()
def logits(model: LlamaForCausalLM) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "device_map",
    [{"": "disk"}, {"": "cpu", "model.layers.1": "disk"}, {"": "cpu", "model.embed_tokens": "disk"}],
    ids=["all", "a layer", "tied embeddings"],
)
def test_parts_on_disk_give_the_same_logits(
    folder: Path, device_map: dict[str, torch.device | str | int], dtype: torch.dtype
) -> None:
    whole = LlamaForCausalLM.from_pretrained(folder, dtype=dtype)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, device_map=device_map)
    for _ in range(2):
        assert torch.equal(logits(model), logits(whole))
    report = model.load_report
    assert report is not None
    away = {name for name, p in model.named_parameters(remove_duplicate=False) if p.is_meta}
    assert away == {
        *report.on_disk,
        *(name for name, owner in report.tied.items() if owner in report.on_disk),
    }
    assert away
    assert model.device.type == "cpu"
    with pytest.raises(DeviceMapError, match="on disk only"):
        model.save_pretrained(folder)


def test_parts_on_disk_are_read_for_each_call_and_only_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    read = SafetensorsSource.read

    def noted(self: SafetensorsSource, name: str) -> torch.Tensor:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(SafetensorsSource, "read", noted)
    model = LlamaForCausalLM.from_pretrained(folder, device_map={"": "cpu", "model.layers.2": "disk"})
    assert not any(name.startswith("model.layers.2.") for name in names)
    for _ in range(2):
        names.clear()
        logits(model)
        assert len(names) == 9
        assert all(name.startswith("model.layers.2.") for name in names)


def test_weights_leave_again_when_a_call_fails(folder: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(folder, device_map={"": "disk"})
    with pytest.raises(RuntimeError):
        model.model.layers[0](torch.zeros(1, 1, 3), None)
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("policy", ["auto", "balanced", "sequential"])
def test_automatic_maps_put_everything_here_when_it_fits(folder: Path, policy: str) -> None:
    pytest.importorskip("accelerate")
    model = LlamaForCausalLM.from_pretrained(folder, device_map=policy)
    whole = LlamaForCausalLM.from_pretrained(folder)
    assert torch.equal(logits(model), logits(whole))


def test_automatic_maps_use_the_disk_when_memory_is_short(folder: Path) -> None:
    pytest.importorskip("accelerate")
    model = LlamaForCausalLM.from_pretrained(folder, device_map="auto", max_memory={"cpu": 14_000})
    assert model.load_report is not None
    assert "model.layers.2.mlp.up_proj.weight" in model.load_report.on_disk
    assert model.device_map is not None
    assert torch.equal(logits(model), logits(LlamaForCausalLM.from_pretrained(folder)))


def test_a_device_by_name_is_the_whole_model(folder: Path) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM.from_pretrained(folder, device_map="cpu")
    assert model.device.type == "cpu"


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        (
            {"": "cpu", "model.layers.9": "disk"},
            r"names 'model\.layers\.9', which is no part of LlamaForCausalLM",
        ),
        ({"model.layers": "cpu"}, r"leaves out \d+ modules with weights: model\.embed_tokens"),
        ({"": "gpu"}, "gives the model to 'gpu', which is no device"),
    ],
)
def test_maps_that_do_not_fit(
    folder: Path, device_map: dict[str, torch.device | str | int], message: str
) -> None:
    with pytest.raises(DeviceMapError, match=message):
        LlamaForCausalLM.from_pretrained(folder, device_map=device_map)


def test_device_and_map_together(folder: Path) -> None:
    with pytest.raises(DeviceMapError, match="both say where weights go"):
        LlamaForCausalLM.from_pretrained(folder, device="cpu", device_map="auto")


def test_without_accelerate_the_line_that_installs_it_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingPackageError) as error:
        LlamaForCausalLM.from_pretrained(folder, device_map="auto")
    assert error.value.fix == "pip install 'hf-modeling[accelerate]'"


def test_an_accelerator_runs_what_lives_in_main_memory() -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1))
    found = plan_devices(
        model,
        {"": "cpu", "model.layers.0": "cuda:0", "lm_head": "disk"},
        dtype=torch.float32,
        max_memory=None,
    )
    assert found == DeviceMap(
        parts={"": torch.device("cpu"), "model.layers.0": torch.device("cuda:0"), "lm_head": None},
        runs_on=torch.device("cuda:0"),
    )
    assert found.place("model.layers.0.mlp.up_proj") == torch.device("cuda:0")
    assert found.place("model.norm") == torch.device("cpu")
    assert found.place("lm_head") == torch.device("cuda:0")
