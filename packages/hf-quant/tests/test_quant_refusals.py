"""What is wrong with packed checkpoints, settings and wishes, and that each is said by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_config.quantization import (
    AwqConfig,
    CompressedTensorsConfig,
    EetqConfig,
    GPTQConfig,
    HqqConfig,
    MetalConfig,
    QuantoConfig,
)
from hf_hub_io.errors import HfError
from hf_modeling.weights.errors import (
    MissingWeightsError,
    QuantizerMissingError,
    ShapeMismatchError,
    UnexpectedWeightsError,
)
from hf_quant import Conversion, find_method, quantize_model
from hf_quant.codecs.awq import AwqGemm
from hf_quant.codecs.gptq import Gptq
from hf_quant.errors import (
    AlreadyQuantizedError,
    CalibrationNeededError,
    NonFiniteError,
    PackingError,
    PartsMissingError,
    QuantizationConfigError,
)
from hf_quant.testing.tiny import load, packed_checkpoint, plain_checkpoint, rewrite

GPTQ = Gptq(group_size=32)
SETTINGS: dict[str, object] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
LAYER = "model.layers.1.mlp.up_proj"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return packed_checkpoint("llama", tmp_path, GPTQ, SETTINGS).packed


def drop(name: str) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return change


def rename(old: str, new: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({new: tensors.pop(old)})


@pytest.mark.parametrize("part", ["qweight", "qzeros", "scales"])
def test_a_part_that_is_not_there_is_named(folder: Path, part: str) -> None:
    rewrite(folder, drop(f"{LAYER}.{part}"))
    with pytest.raises(PartsMissingError, match=rf"{LAYER} is packed and lacks {part}") as error:
        load(folder)
    assert error.value.lacking == (part,)
    assert isinstance(error.value, HfError | KeyError)


def test_a_renamed_scale_is_recognised(folder: Path) -> None:
    rewrite(folder, rename(f"{LAYER}.scales", f"{LAYER}.scale"))
    with pytest.raises(PartsMissingError, match=rf"did the checkpoint mean {LAYER}\.scale\?"):
        load(folder)


def test_a_layer_without_any_part_is_missing(folder: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        for name in [n for n in tensors if n.startswith(LAYER)]:
            del tensors[name]

    rewrite(folder, change)
    with pytest.raises(MissingWeightsError, match=LAYER):
        load(folder)


def test_experts_that_are_not_all_packed_are_joined_unpacked(tmp_path: Path) -> None:
    made = packed_checkpoint(
        "qwen3_moe", tmp_path, lambda name: None if ".experts.2.up_proj" in name else GPTQ, SETTINGS
    )
    report = load(made.packed).quantization_report
    assert report is not None
    lines = {line["module"]: line for line in json.loads(report.to_json())["weights"]}
    both = lines["model.layers.0.mlp.experts.gate_up_proj"]
    assert both["decision"] == "unpacked"
    assert both["reason"] == "joined in memory with weights that are not packed"
    assert lines["model.layers.0.mlp.experts.down_proj"]["decision"] == "packed"


def test_an_expert_that_is_not_there_is_missing(tmp_path: Path) -> None:
    made = packed_checkpoint("qwen3_moe", tmp_path, GPTQ, SETTINGS)

    def change(tensors: dict[str, Tensor]) -> None:
        for name in [n for n in tensors if "layers.0.mlp.experts.1.down_proj" in n]:
            del tensors[name]

    rewrite(made.packed, change)
    with pytest.raises((MissingWeightsError, UnexpectedWeightsError), match=r"layers\.0\.mlp\.experts"):
        load(made.packed)


def test_packed_layers_that_the_model_lacks_are_unexpected(folder: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        for part in ("qweight", "qzeros", "scales", "g_idx"):
            tensors[f"model.layers.0.extra_proj.{part}"] = tensors[f"{LAYER}.{part}"].clone()

    rewrite(folder, change)
    with pytest.raises(UnexpectedWeightsError, match=r"model\.layers\.0\.extra_proj\.qweight"):
        load(folder)
    load(folder, allow_unexpected=("*.extra_proj.*",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_size": 16}, r"down_proj.qzeros is \[4, 8\] in the checkpoint; for a weight \[64, 128\]"),
        ({"bits": 8}, "in the checkpoint; for a weight"),
        ({"group_size": 48}, r"down_proj is not packed as .*: 128 inputs do not divide into groups of 48"),
    ],
)
def test_settings_that_do_not_fit_the_tensors_are_refused(
    folder: Path, change: dict[str, object], message: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((PackingError, ShapeMismatchError), match=message):
        load(folder)


def test_a_checkpoint_of_another_size_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))
    with pytest.raises(ShapeMismatchError, match=r"\[128, 64\] on disk, \[96, 64\] in the model"):
        load(folder)


def test_the_caller_cannot_contradict_how_weights_were_packed(folder: Path) -> None:
    with pytest.raises(AlreadyQuantizedError, match=r"quantized with 'gptq' already; .* asks for 'awq'"):
        load(folder, quantization_config=AwqConfig())
    with pytest.raises(QuantizationConfigError, match="bits = 8, and the checkpoint was made with 4"):
        load(folder, quantization_config=GPTQConfig(bits=8))
    model = load(folder, quantization_config=GPTQConfig(backend="torch"))
    assert model.config.quantization_config is not None


def test_weights_are_not_packed_twice(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    with pytest.raises(AlreadyQuantizedError, match="quantized with 'gptq' already"):
        quantize_model(model, HqqConfig())
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AlreadyQuantizedError, match=r"holds packed weights already, such as .*g_idx"):
        load(folder, quantization_config=HqqConfig())


@pytest.mark.parametrize("config", [GPTQConfig(), AwqConfig()])
def test_methods_that_need_data_say_so(config: GPTQConfig | AwqConfig, tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)
    with pytest.raises(CalibrationNeededError, match="chooses its roundings with data") as error:
        load(folder, quantization_config=config)
    assert f"--method {config.quant_method}" in error.value.fix
    with pytest.raises(CalibrationNeededError):
        quantize_model(load(folder), config)


def test_a_weight_that_does_not_divide_is_named(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path, intermediate_size=80)
    with pytest.raises(PackingError, match=r"mlp\.down_proj cannot be packed: 80 inputs do not divide"):
        load(folder, quantization_config=MetalConfig(bits=4, group_size=32))
    with pytest.raises(PackingError, match=r"self_attn\.k_proj cannot be packed: 32 outputs"):
        load(plain_checkpoint("llama", tmp_path / "narrow"), quantization_config=EetqConfig())


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[f"{LAYER}.weight"][3, 4] = torch.nan

    rewrite(folder, change)
    with pytest.raises(NonFiniteError, match=rf"{LAYER}.*NaN"):
        load(folder, quantization_config=MetalConfig(group_size=32))
    with pytest.raises(NonFiniteError, match=rf"{LAYER}.*NaN"):
        quantize_model(load(folder), MetalConfig(group_size=32))


def test_names_that_fit_no_layer_are_refused(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)
    with pytest.raises(QuantizationConfigError, match=r"no layer fits 'down_prj'"):
        load(folder, quantization_config=MetalConfig(group_size=32, modules_to_not_convert=("down_prj",)))
    with pytest.raises(QuantizationConfigError, match="no regular expression"):
        load(folder, quantization_config=MetalConfig(group_size=32, modules_to_not_convert=("down_proj(",)))


def test_layers_that_should_be_packed_and_are_not_are_refused(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path / "plain")
    config = CompressedTensorsConfig(config_groups={"W8A16": ("Linear",)}, ignore=("lm_head",))
    load(folder, quantization_config=config).save_pretrained(tmp_path / "packed")

    def change(tensors: dict[str, Tensor]) -> None:
        parts = [name for name in tensors if name.startswith(f"{LAYER}.")]
        for name in parts:
            del tensors[name]
        tensors[f"{LAYER}.weight"] = torch.zeros(128, 64)

    rewrite(tmp_path / "packed", change)
    with pytest.raises(QuantizationConfigError, match=rf"covers {LAYER}, whose weight is plain"):
        load(tmp_path / "packed")


def test_layouts_of_one_kernel_are_not_guessed(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for change, message in (
        ({"bits": 5, "format": "gptq_p"}, "laid out for one kernel only"),
        ({"dynamic": {r"-:.*up_proj": {}}}, "quantization_config.dynamic leaves it out"),
    ):
        path.write_text(json.dumps(config | {"quantization_config": {**SETTINGS, **change}}))
        with pytest.raises(QuantizationConfigError, match=message):
            load(folder)


def test_ranges_of_activations_need_data(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)
    with pytest.raises(QuantizationConfigError, match="activations='int8'"):
        load(folder, quantization_config=QuantoConfig(activations="int8"))


def test_a_conversion_is_finished_only_when_every_layer_is(tmp_path: Path) -> None:
    model = load(plain_checkpoint("llama", tmp_path))
    conversion = Conversion(model, AwqConfig(group_size=32))
    first = conversion.sites[0]
    assert (first.module, first.codec) == ("model.layers.0.self_attn.q_proj", AwqGemm(group_size=32))
    conversion.put(first.module, first.codec.quantize(conversion.plain_weight(first.module)))
    with pytest.raises(QuantizationConfigError, match="13 layers were planned and not packed"):
        conversion.finish()


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(QuantizationConfigError, match="no method 'gptqq'"):
        find_method("gptqq")
    assert issubclass(QuantizerMissingError, HfError)
