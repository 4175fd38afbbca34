"""Packed checkpoints of several layouts: loaded, run, saved to the same bytes, unpacked, made and trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hf_config.quantization import (
    CompressedTensorsConfig,
    HqqConfig,
    MetalConfig,
    MlxConfig,
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    QuantoConfig,
    TorchAoConfig,
)
from hf_hub_io.errors import WeightsError
from hf_modeling import AutoModel
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.init import without_weights
from hf_modeling.weights.convert import read_tensors
from hf_quant import QuantEmbedding, QuantizationReport, QuantLinear, plan, quantize_model
from hf_quant.codec import Codec
from hf_quant.codecs.awq import AwqGemm
from hf_quant.codecs.gptq import Gptq
from hf_quant.codecs.hqq import Hqq
from hf_quant.errors import PackedWeightError
from hf_quant.fast import RowsTimesIntegers
from hf_quant.testing.tiny import (
    CLASSES,
    FAMILIES,
    load,
    logits,
    packed_checkpoint,
    plain_checkpoint,
)

PACKED: dict[str, tuple[Codec, dict[str, object]]] = {
    "gptq": (Gptq(group_size=32), {"quant_method": "gptq", "bits": 4, "group_size": 32}),
    "gptq, 3 bits": (
        Gptq(bits=3, group_size=-1, zero_offset=0),
        {"quant_method": "gptq", "bits": 3, "group_size": -1, "checkpoint_format": "gptq_v2"},
    ),
    "awq": (AwqGemm(group_size=32), {"quant_method": "awq", "bits": 4, "group_size": 32}),
    "hqq": (
        Hqq(group_size=32),
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 32}}},
    ),
}


def groups(**weights: object) -> CompressedTensorsConfig:
    scheme = QuantizationScheme(targets=("Linear",), weights=QuantizationArgs.from_dict(weights))
    return CompressedTensorsConfig(config_groups={"group_0": scheme}, ignore=("lm_head",))


def torchao(name: str, **settings: object) -> TorchAoConfig:
    return TorchAoConfig(quant_type={"default": {"_type": name, "_data": settings, "_version": 2}})


CREATED: dict[str, QuantizationConfig] = {
    "hqq": HqqConfig.from_dict({"nbits": 4, "group_size": 32}),
    "quanto int4": QuantoConfig(weights="int4"),
    "quanto int8": QuantoConfig(weights="int8"),
    "metal": MetalConfig(bits=4, group_size=32),
    "mlx": MlxConfig(bits=8, group_size=32),
    "torchao": torchao("Int8WeightOnlyConfig"),
    "torchao int4": torchao("Int4WeightOnlyConfig", group_size=32),
    "words": groups(num_bits=4, strategy="group", group_size=32, symmetric=False),
    "bytes": CompressedTensorsConfig(config_groups={"W8A8": ("Linear",)}, ignore=("lm_head",)),
}


def of(model: CausalLM) -> QuantizationReport:
    report = model.quantization_report
    assert isinstance(report, QuantizationReport)
    return report


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PACKED)
def test_a_packed_checkpoint_runs_as_its_numbers_do_and_is_saved_to_the_same_bytes(
    name: str, family: str, tmp_path: Path
) -> None:
    codec, settings = PACKED[name]
    made = packed_checkpoint(family, tmp_path, codec, settings)
    model, plain = load(made.packed), load(made.plain)
    torch.testing.assert_close(logits(model), logits(plain), rtol=1e-5, atol=1e-5)
    report = of(model)
    assert report.count("packed") + report.count("unpacked") == (
        12 if family in ("qwen3_moe", "gpt2") else 14
    )
    if name != "hqq":
        assert report.count("unpacked") == 0
    if report.count("unpacked") == 0:
        model.save_pretrained(tmp_path / "again")
        assert (tmp_path / "again/model.safetensors").read_bytes() == (
            made.packed / "model.safetensors"
        ).read_bytes()
        saved = json.loads((tmp_path / "again/config.json").read_text())
        assert saved["quantization_config"] == settings
    model.dequantize()
    torch.testing.assert_close(logits(model), logits(plain), rtol=1e-5, atol=1e-5)
    model.save_pretrained(tmp_path / "unpacked")
    assert (tmp_path / "unpacked/model.safetensors").read_bytes() == (
        made.plain / "model.safetensors"
    ).read_bytes()
    assert "quantization_config" not in json.loads((tmp_path / "unpacked/config.json").read_text())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CREATED)
def test_a_plain_checkpoint_is_packed_while_it_is_read(name: str, family: str, tmp_path: Path) -> None:
    folder = plain_checkpoint(family, tmp_path / "plain")
    plain, model = load(folder), load(folder, quantization_config=CREATED[name])
    report = of(model)
    assert report.count("quantized") >= 12
    assert report.bytes_after < report.bytes_before / 2
    error = (logits(model) - logits(plain)).norm() / logits(plain).norm()
    assert error < 0.5
    model.save_pretrained(tmp_path / "packed")
    again = load(tmp_path / "packed")
    assert torch.equal(logits(again), logits(model))
    assert of(again).count("packed") == report.count("quantized")
    again.save_pretrained(tmp_path / "again")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "packed" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["hqq", "metal", "words"])
def test_a_model_in_memory_becomes_what_loading_would_have_made(
    name: str, family: str, tmp_path: Path
) -> None:
    folder = plain_checkpoint(family, tmp_path / "plain")
    model = load(folder)
    ahead = plan(model, CREATED[name])
    assert not any(isinstance(module, QuantLinear) for module in model.modules())
    report = quantize_model(model, CREATED[name])
    assert report.bytes_after == ahead.bytes_after
    assert [line.decision for line in report.lines] == [line.decision for line in ahead.lines]
    assert all(0 < (line.error or 0) < 0.2 for line in report.lines if line.decision == "quantized")
    model.save_pretrained(tmp_path / "one")
    load(folder, quantization_config=CREATED[name]).save_pretrained(tmp_path / "other")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_a_plan_needs_no_weights(tmp_path: Path) -> None:
    from hf_config import AutoConfig
    from hf_modeling.classes import find_class

    config = AutoConfig.for_model("llama", **FAMILIES["llama"])
    with without_weights():
        model = find_class(CLASSES["llama"])(config)
    report = plan(model, CREATED["hqq"])
    assert report.count("quantized") == 14
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_receipt_says_what_happened_to_every_weight(tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, *PACKED["awq"], num_hidden_layers=1)
    report = of(load(made.packed))
    text = str(report).splitlines()
    assert text[0].split() == ["weight", "decision", "before", "after", "error", "how"]
    assert [line.split()[0] for line in text[1:-1]] == [
        "model.embed_tokens",
        *(f"model.layers.0.self_attn.{part}_proj" for part in "qkvo"),
        *(f"model.layers.0.mlp.{part}_proj" for part in ("gate", "up", "down")),
        "lm_head",
    ]
    assert text[-1] == "awq: 7 of 9 weights packed, 0.18 MB -> 0.05 MB (3.33x smaller)"
    lines = json.loads(report.to_json())["weights"]
    assert lines[1]["decision"] == "packed"
    assert lines[1]["bytes_before"] == 64 * 64 * 4
    assert lines[1]["bytes_after"] == 64 * 64 // 2 + 2 * 64 // 2 + 2 * 64 * 2
    assert lines[0] | {"module": ""} == {
        "module": "",
        "decision": "plain",
        "reason": "plain in the checkpoint",
        "codec": "",
        "bytes_before": 64 * 64 * 4,
        "bytes_after": 64 * 64 * 4,
        "error": None,
        "kernel": "",
    }
    report.save(tmp_path / "receipt.json")
    assert (tmp_path / "receipt.json").read_text() == report.to_json()


def test_a_base_model_reads_a_packed_checkpoint_of_the_whole(tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, *PACKED["gptq"])
    whole, base = load(made.packed), AutoModel.from_pretrained(made.packed)
    assert isinstance(base.get_submodule("layers.0.mlp.up_proj"), QuantLinear)
    ids = torch.arange(4, 20)[None]
    with torch.no_grad():
        expected = whole.get_submodule("model")(ids).last_hidden_state
        assert torch.equal(base(ids).last_hidden_state, expected)
    base.save_pretrained(tmp_path / "base")
    again = AutoModel.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        assert torch.equal(again(ids).last_hidden_state, expected)


def test_a_packed_table_of_embeddings_may_be_the_output_too(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path / "plain", tie_word_embeddings=True)
    model = load(folder, quantization_config=CREATED["mlx"])
    table, head = model.get_submodule("model.embed_tokens"), model.get_submodule("lm_head")
    assert isinstance(table, QuantEmbedding)
    assert isinstance(head, QuantLinear)
    assert table.parts()["weight"] is head.parts()["weight"]
    ids = torch.tensor([[3, 5, 3]])
    torch.testing.assert_close(table(ids), table.dequantize()[ids])
    model.save_pretrained(tmp_path / "packed")
    assert torch.equal(logits(load(tmp_path / "packed")), logits(model))
    model.dequantize()
    output = model.get_output_embeddings()
    assert output is not None
    assert output.weight is model.get_input_embeddings().weight


def test_layers_that_settings_leave_out_stay_plain(tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)
    config = MetalConfig(
        bits=4, group_size=32, modules_to_not_convert=("down_proj", "model.layers.1.self_attn")
    )
    decisions = {line.module: line for line in of(load(folder, quantization_config=config)).lines}
    assert decisions["model.layers.0.mlp.down_proj"].reason == "settings: 'down_proj'"
    assert decisions["model.layers.1.self_attn.q_proj"].decision == "plain"
    assert decisions["model.layers.0.self_attn.q_proj"].decision == "quantized"
    assert (
        decisions["lm_head"].decision == "quantized"
    )  # a list that is given replaces what is left out without one


def test_moving_and_casting_a_model_leaves_packed_numbers_as_they_are(tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, *PACKED["gptq"])
    model = load(made.packed)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(layer, QuantLinear)
    before = {name: part.clone() for name, part in layer.parts().items()}
    model.to(torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16
    assert all(part.dtype == before[name].dtype for name, part in layer.parts().items())
    assert all(torch.equal(part, before[name]) for name, part in layer.parts().items())


def test_few_rows_of_bfloat16_are_multiplied_by_integers_as_they_are(tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, *PACKED["awq"])
    model = load(made.packed, dtype=torch.bfloat16)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(layer, QuantLinear)
    assert isinstance(layer.kernel, RowsTimesIntegers)
    assert "torch's 4-bit product" in str(of(model))
    x = torch.randn(2, 3, 64, dtype=torch.bfloat16)
    fast = layer(x)
    layer.kernel = None
    torch.testing.assert_close(fast, layer(x), rtol=0.05, atol=0.05)
    model.save_pretrained(tmp_path / "again")
    before, after = (dict(read_tensors(f, "*qweight", "*scales")) for f in (made.packed, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_gradients_pass_through_packed_layers_to_what_is_trained(family: str, tmp_path: Path) -> None:
    made = packed_checkpoint(family, tmp_path, *PACKED["gptq"])
    model, plain = load(made.packed).train(), load(made.plain).train()
    ids = torch.arange(4, 20)[None]
    for one in (model, plain):
        one.requires_grad_(False)
        one.get_input_embeddings().requires_grad_(True)
        loss = one(ids, labels=ids).loss
        assert loss is not None
        loss.backward()
    packed_grad, plain_grad = (one.get_input_embeddings().weight.grad for one in (model, plain))
    assert packed_grad is not None
    assert plain_grad is not None
    torch.testing.assert_close(packed_grad, plain_grad, rtol=1e-4, atol=1e-6)


WRITES: dict[str, Callable[[QuantLinear], object]] = {
    "data": lambda layer: setattr(layer.weight, "data", torch.zeros(layer.shape)),
    "add_": lambda layer: layer.weight.data.add_(1),
    "+=": lambda layer: layer.weight.data.__iadd__(1),
    "[...]": lambda layer: layer.weight.__setitem__(0, 0.0),
    "weight": lambda layer: setattr(layer, "weight", torch.zeros(layer.shape)),
}


@pytest.mark.parametrize("way", WRITES)
def test_a_packed_weight_is_read_and_never_written_to(way: str, tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, *PACKED["gptq"])
    layer = load(made.packed).get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(layer, QuantLinear)
    x = torch.randn(3, 64)
    torch.testing.assert_close(x @ layer.weight.T, layer(x))
    assert type(layer.weight * 2) is torch.Tensor
    with pytest.raises(PackedWeightError) as error:
        WRITES[way](layer)
    assert isinstance(error.value, WeightsError)
