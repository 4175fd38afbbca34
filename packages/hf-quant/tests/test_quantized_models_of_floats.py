"""Models with weights of floats, levels and codebooks: packed on disk or while they are read, in several layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pytest
import torch
from torch import Tensor

from hf_config.quantization import (
    BitNetQuantConfig,
    BitsAndBytesConfig,
    FbgemmFp8Config,
    FineGrainedFP8Config,
    FPQuantConfig,
    GemmaQuantizationConfig,
    GgufConfig,
    HiggsConfig,
    ModelOptConfig,
    NVFP4Config,
    QuantizationConfig,
    SinqConfig,
)
from hf_hub_io.errors import WeightsError
from hf_quant import QuantizationReport
from hf_quant.codec import Codec, Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.codecs.aqlm import Aqlm
from hf_quant.codecs.bitnet import BitNetPacked
from hf_quant.codecs.bitsandbytes_4bit import BitsAndBytes4Bit
from hf_quant.codecs.fp8 import Fp8Block, Fp8Tensor
from hf_quant.codecs.nvfp4 import Nvfp4
from hf_quant.codecs.spqr import SpQR
from hf_quant.codecs.vptq import Vptq
from hf_quant.errors import (
    AlreadyQuantizedError,
    CalibrationNeededError,
    PackingError,
    PartsMissingError,
    QuantizationConfigError,
)
from hf_quant.testing.tiny import FAMILIES, load, logits, packed_checkpoint, plain_checkpoint, rewrite

CREATED: Mapping[str, QuantizationConfig] = {
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "fp4 twice": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_use_double_quant=True),
    "nf4 as bfloat16": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_quant_storage="bfloat16"
    ),
    "llm.int8": BitsAndBytesConfig(load_in_8bit=True),
    "fp8 blocks": FineGrainedFP8Config(weight_block_size=(32, 32)),
    "fp8 tensors": FineGrainedFP8Config(weight_block_size=None),
    "mxfp8": FineGrainedFP8Config(quant_method="mxfp8"),
    "fbgemm": FbgemmFp8Config(),
    "modelopt nvfp4": ModelOptConfig(quant_algo="NVFP4"),
    "modelopt fp8": ModelOptConfig(quant_algo="FP8"),
    "nvfp4": NVFP4Config(),
    "fp-quant": FPQuantConfig(),
    "fp-quant mxfp4": FPQuantConfig(forward_dtype="mxfp4", forward_method="quest"),
    "fp-quant pseudo": FPQuantConfig(pseudoquantization=True),
    "sinq": SinqConfig(group_size=32),
    "sinq squares": SinqConfig(group_size=32, tiling_mode="2D", nbits=8),
    "gguf": GgufConfig(ggml_type="Q5_1"),
    "gemma": GemmaQuantizationConfig(num_bits=4, module_quant_configs={"v_proj|down": {"num_bits": 8}}),
}
"""What holds close to the weights in every layout; BitNet and HIGGS are below."""


def of(model: Any) -> QuantizationReport:
    report = model.quantization_report
    assert isinstance(report, QuantizationReport)
    return report


def same_files(one: Path, other: Path) -> None:
    for file in ("model.safetensors", "config.json"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CREATED)
def test_weights_are_packed_while_they_are_read(name: str, family: str, tmp_path: Path) -> None:
    folder = plain_checkpoint(family, tmp_path / "plain")
    plain, model = load(folder), load(folder, quantization_config=CREATED[name])
    report = of(model)
    assert report.count("quantized") >= 10
    assert float((logits(model) - logits(plain)).norm() / logits(plain).norm()) < 0.7
    model.save_pretrained(tmp_path / "packed")
    again = load(tmp_path / "packed")
    assert torch.equal(logits(again), logits(model))
    assert of(again).count("packed") == report.count("quantized")
    again.save_pretrained(tmp_path / "again")
    same_files(tmp_path / "packed", tmp_path / "again")
    again.dequantize()
    if name != "llm.int8":  # which rounds activations, too
        expected = logits(model)
        torch.testing.assert_close(logits(again), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_modelopt_writes_shell_patterns(tmp_path: Path) -> None:
    config = ModelOptConfig(
        quant_algo="FP8", modules_to_not_convert=("lm_head", "model.layers.0.*", "*.v_pro?")
    )
    report = of(load(plain_checkpoint("llama", tmp_path), quantization_config=config))
    packed = [line.module for line in report.lines if line.decision == "quantized"]
    assert packed == [
        *(f"model.layers.1.self_attn.{part}_proj" for part in "qko"),
        *(f"model.layers.1.mlp.{part}_proj" for part in ("gate", "up", "down")),
    ]


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2"])
@pytest.mark.parametrize(
    "config",
    [
        BitNetQuantConfig(),
        BitNetQuantConfig(linear_class="autobitlinear"),
        BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="online"),
    ],
    ids=["divided", "multiplied", "online"],
)
def test_ternary_models(config: BitNetQuantConfig, family: str, tmp_path: Path) -> None:
    folder = plain_checkpoint(family, tmp_path / "plain")
    if config.quantization_mode == "online" and family != "llama":
        with pytest.raises(QuantizationConfigError, match="another layout"):
            load(folder, quantization_config=config)
        return
    model = load(folder, quantization_config=config)
    model.save_pretrained(tmp_path / "packed")
    again = load(tmp_path / "packed")
    assert torch.equal(logits(again), logits(model))
    again.save_pretrained(tmp_path / "again")
    same_files(tmp_path / "packed", tmp_path / "again")
    if config.quantization_mode == "online":
        assert (tmp_path / "packed/model.safetensors").read_bytes() == (
            folder / "model.safetensors"
        ).read_bytes()


def test_grids_tell_the_order_of_their_bits_in_the_config(tmp_path: Path) -> None:
    config = HiggsConfig(
        bits=4,
        group_size=64,
        hadamard_size=64,
        modules_to_not_convert=("k_proj", "v_proj", "o_proj", "q_proj", "down_proj", "lm_head"),
    )
    model = load(plain_checkpoint("llama", tmp_path / "plain"), quantization_config=config)
    assert of(model).count("quantized") == 4
    model.save_pretrained(tmp_path / "packed")
    saved = json.loads((tmp_path / "packed/config.json").read_text())["quantization_config"]
    assert saved["tune_metadata"]["model.layers.0.mlp.up_proj"]["template_id"] == 16
    again = load(tmp_path / "packed")
    assert torch.equal(logits(again), logits(model))
    again.save_pretrained(tmp_path / "again")
    same_files(tmp_path / "packed", tmp_path / "again")
    del saved["tune_metadata"]["model.layers.0.mlp.up_proj"]
    whole = json.loads((tmp_path / "packed/config.json").read_text())
    (tmp_path / "packed/config.json").write_text(json.dumps({**whole, "quantization_config": saved}))
    with pytest.raises(QuantizationConfigError, match=r"layers\.0\.mlp\.up_proj.*template_id"):
        load(tmp_path / "packed")


@final
@dataclass(frozen=True)
class Drawn:
    """A codec that cannot pack, with parts drawn at random: any such parts stand for some weight."""

    inner: Codec
    draw: Any

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.inner.parts

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return self.inner.shape(stored)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        return self.inner.specs(shape)

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return self.inner.rows(shape)

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.inner.dequantize(parts, shape, dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.inner.specs(tuple(weight.shape))
        made: dict[str, Tensor] = self.draw({part.name: specs[part.name] for part in self.inner.parts})
        return made


def numbers(specs: Mapping[str, Spec]) -> dict[str, Tensor]:
    """Small numbers, any codes, and every input once in a permutation."""
    made: dict[str, Tensor] = {}
    for name, spec in specs.items():
        if name == "perm":
            made[name] = torch.randperm(spec.shape[0]).to(spec.dtype)
        elif spec.dtype.is_floating_point:
            made[name] = (0.1 * torch.randn(spec.shape)).to(spec.dtype)
        else:
            top = 2 ** (8 * spec.dtype.itemsize - 1)
            made[name] = torch.randint(-top, top, spec.shape).to(spec.dtype)
    return made


def tiles(specs: Mapping[str, Spec]) -> dict[str, Tensor]:
    """Tiles with tame scales, and one outlier."""
    words = torch.randint(0, 1 << 54, specs["dense_weights"].shape)
    byte = [int(b) for b in torch.tensor([0.02, 0.02, 1.0, 1.0]).half().view(torch.uint8)]
    second = torch.tensor(byte).repeat_interleave(2).repeat(len(words) // 16)
    rows = specs["row_offsets"].shape[0] - 1
    return {
        "dense_weights": words | (second << 54),
        "row_offsets": torch.tensor([0] + rows * [1], dtype=torch.int32),
        "col_vals": torch.tensor([3 | (0x3C00 << 16)], dtype=torch.int32),
    }


def vptq_layers() -> dict[str, Any]:
    shapes = {"q_proj": (64, 64), "k_proj": (32, 64), "v_proj": (32, 64), "o_proj": (64, 64)}
    shapes |= {"gate_proj": (128, 64), "up_proj": (128, 64), "down_proj": (64, 128)}
    return {
        name: {
            "in_features": K,
            "out_features": N,
            "group_size": K,
            "vector_lens": [-1, 8],
            "num_centroids": [-1, 16],
            "num_res_centroids": [-1, 8],
            "enable_norm": True,
            "enable_perm": True,
        }
        for name, (N, K) in shapes.items()
    }


def vptq_codec(name: str) -> Codec | None:
    entry = vptq_layers().get(name.split(".")[-2])
    if entry is None:
        return None
    shape = (entry["out_features"], entry["in_features"])
    return Drawn(Vptq(shape_NK=shape, vector=8, centroids=16, residual=8, group=shape[1]), numbers)


def spqr_codec(name: str) -> Codec | None:
    entry = vptq_layers().get(name.split(".")[-2])
    if entry is None:
        return None
    N, K = entry["out_features"], entry["in_features"]
    return Drawn(SpQR(shape_NK=(N, K), outliers=1, row_offsets=N + 1), tiles)


DRAWN: Mapping[str, tuple[Any, dict[str, object]]] = {
    "aqlm": (
        Drawn(Aqlm(codebooks=2, bits=8), numbers),
        {
            "quant_method": "aqlm",
            "num_codebooks": 2,
            "nbits_per_codebook": 8,
            "linear_weights_not_to_quantize": ["lm_head.weight"],
        },
    ),
    "vptq": (vptq_codec, {"quant_method": "vptq", "shared_layer_config": vptq_layers()}),
    "spqr": (spqr_codec, {"quant_method": "spqr", "bits": 3, "beta1": 16, "beta2": 16, "shapes": {}}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_codebooks_and_tiles_run_as_their_numbers_and_are_saved_to_the_same_bytes(
    name: str, tmp_path: Path
) -> None:
    codec, settings = DRAWN[name]
    made = packed_checkpoint("llama", tmp_path, codec, settings)
    model, plain = load(made.packed), load(made.plain)
    assert of(model).count("packed") == 14
    expected = logits(plain)
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    model.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (
        made.packed / "model.safetensors"
    ).read_bytes()


FOUND: Mapping[str, tuple[Codec, dict[str, object]]] = {
    "DeepSeek": (
        Fp8Block(block=(32, 32)),
        {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [32, 32], "activation_scheme": "dynamic"},
    ),
    "DeepSeek, scale in bytes": (
        Fp8Block(block=(32, 32), scale="scale", scale_format="ue8m0"),
        {"quant_method": "fp8", "weight_block_size": [32, 32], "scale_fmt": "ue8m0"},
    ),
    "Mistral": (
        Fp8Tensor(scale="qscale_weight"),
        {"quant_method": "fp8", "weight_block_size": None, "activation_scheme": "dynamic"},
    ),
    "ModelOpt": (
        Fp8Tensor(),
        {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]},
    ),
    "ModelOpt NVFP4": (
        Nvfp4(),
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"], "group_size": 16},
    ),
    "bitsandbytes, old words": (
        BitsAndBytes4Bit(quant_type="nf4"),
        {"quant_method": "bitsandbytes", "_load_in_4bit": True, "_load_in_8bit": False},
    ),
    "BitNet": (BitNetPacked(), {"quant_method": "bitnet", "linear_class": "bitlinear"}),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FOUND)
def test_checkpoints_in_the_spellings_that_are_found(name: str, family: str, tmp_path: Path) -> None:
    codec, settings = FOUND[name]
    made = packed_checkpoint(family, tmp_path, codec, settings)
    model = load(made.packed)
    report = of(model)
    assert report.count("packed") + report.count("unpacked") >= 10
    if name != "BitNet":
        expected = logits(load(made.plain))
        torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)
    if report.count("unpacked") == 0:
        model.save_pretrained(tmp_path / "again")
        assert (tmp_path / "again/model.safetensors").read_bytes() == (
            made.packed / "model.safetensors"
        ).read_bytes()
        saved = json.loads((tmp_path / "again/config.json").read_text())
        assert saved["quantization_config"] == settings


def test_nvidia_s_own_file_is_read_where_the_config_says_nothing(tmp_path: Path) -> None:
    made = packed_checkpoint("llama", tmp_path, Nvfp4(), {"quant_method": "modelopt"})
    config = json.loads((made.packed / "config.json").read_text())
    del config["quantization_config"]
    (made.packed / "config.json").write_text(json.dumps(config))
    beside = {
        "producer": {"name": "modelopt", "version": "0.27.0"},
        "quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]},
    }
    (made.packed / "hf_quant_config.json").write_text(json.dumps(beside))
    model = load(made.packed)
    assert of(model).count("packed") == 14
    torch.testing.assert_close(logits(model), logits(load(made.plain)), rtol=1e-4, atol=1e-5)


def test_mixed_precision_names_each_layer(tmp_path: Path) -> None:
    def codec(name: str) -> Codec | None:
        return Nvfp4() if "mlp" in name else Fp8Tensor() if "q_proj" in name else None

    parts = {
        f"model.layers.{i}.mlp.{p}_proj": {"quant_algo": "NVFP4"}
        for i in (0, 1)
        for p in ("gate", "up", "down")
    }
    parts |= {f"model.layers.{i}.self_attn.q_proj": {"quant_algo": "FP8"} for i in (0, 1)}
    settings = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": parts}
    made = packed_checkpoint("llama", tmp_path, codec, settings)
    model = load(made.packed)
    assert of(model).count("packed") == 8
    torch.testing.assert_close(logits(model), logits(load(made.plain)), rtol=1e-4, atol=1e-5)


def drop(ending: str) -> Any:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors[next(name for name in tensors if name.endswith(ending))]

    return change


def rename(ending: str, to: str) -> Any:
    def change(tensors: dict[str, Tensor]) -> None:
        name = next(name for name in tensors if name.endswith(ending))
        tensors[name.removesuffix(ending) + to] = tensors.pop(name)

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("DeepSeek", drop("weight_scale_inv"), "weight_scale_inv"),
        ("DeepSeek", rename("weight_scale_inv", "weight_scales"), "weight_scale_inv"),
        ("ModelOpt NVFP4", drop("weight_scale_2"), "weight_scale_2"),
        ("ModelOpt NVFP4", drop("q_proj.weight_scale"), "weight_scale"),
        ("bitsandbytes, old words", drop("absmax"), "absmax"),
        ("bitsandbytes, old words", drop("quant_map"), "quant_map"),
        ("BitNet", drop("weight_scale"), "weight_scale"),
    ],
)
def test_a_missing_scale_is_an_error_and_never_a_guess(
    name: str, change: Any, said: str, tmp_path: Path
) -> None:
    made = packed_checkpoint("llama", tmp_path, *FOUND[name])
    rewrite(made.packed, change)
    with pytest.raises(PartsMissingError, match=said):
        load(made.packed)


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    settings = {**FOUND["DeepSeek"][1], "weight_block_size": [64, 64]}
    made = packed_checkpoint("llama", tmp_path, Fp8Block(block=(32, 32)), settings)
    with pytest.raises(PackingError, match="blocks of"):
        load(made.packed)
    with pytest.raises(AlreadyQuantizedError):
        load(made.packed, quantization_config=BitsAndBytesConfig(load_in_4bit=True))
    with pytest.raises(QuantizationConfigError, match="neither 4 bits nor 8"):
        load(made.plain, quantization_config=BitsAndBytesConfig())
    with pytest.raises(QuantizationConfigError, match="W4A8_AWQ"):
        load(made.plain, quantization_config=ModelOptConfig(quant_algo="W4A8_AWQ"))
    with pytest.raises(QuantizationConfigError, match="ggml_type"):
        load(made.plain, quantization_config=GgufConfig(ggml_type="Q4_K"))
    with pytest.raises(PackingError, match="divide"):
        load(made.plain, quantization_config=SinqConfig(group_size=48))
    with pytest.raises(CalibrationNeededError, match=r"asinq|data"):
        load(made.plain, quantization_config=SinqConfig(method="asinq"))
    with pytest.raises(QuantizationConfigError, match="use_rms_norm"):
        load(
            made.plain,
            quantization_config=BitNetQuantConfig(
                linear_class="autobitlinear", quantization_mode="online", use_rms_norm=True
            ),
        )


@pytest.mark.parametrize("method", ["aqlm", "vptq", "spqr"])
def test_methods_that_need_data_refuse_plain_weights(method: str, tmp_path: Path) -> None:
    folder = plain_checkpoint("llama", tmp_path)
    with pytest.raises(WeightsError, match="data"):
        load(folder, quantization_config=QuantizationConfig.from_dict({"quant_method": method}))


@pytest.mark.parametrize("name", ["nf4", "llm.int8", "fp8 blocks", "modelopt nvfp4", "gguf", "sinq"])
def test_adapters_beside_packed_weights_are_trained(name: str, tmp_path: Path) -> None:
    model = load(plain_checkpoint("llama", tmp_path), quantization_config=CREATED[name])
    plain = load(tmp_path, quantization_config=CREATED[name])
    plain.dequantize()
    gradients = []
    for one in (model, plain):
        embedded = one.model.embed_tokens.weight
        one.requires_grad_(False)
        embedded.requires_grad_(True)
        one(torch.arange(4, 12)[None], labels=torch.arange(4, 12)[None]).loss.backward()
        assert embedded.grad is not None
        gradients.append(embedded.grad.clone())
    scale = float(gradients[1].abs().max())
    tolerance = 5e-2 if name == "llm.int8" else 1e-5
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=tolerance * scale)
