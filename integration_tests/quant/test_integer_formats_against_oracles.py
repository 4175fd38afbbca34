"""Integer formats beside the libraries that defined them: same numbers, same bytes, and files both can read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_config.quantization import (
    CompressedTensorsConfig,
    HqqConfig,
    QuantizationArgs,
    QuantizationScheme,
    QuantoConfig,
    TorchAoConfig,
)
from hf_modeling.weights.convert import read_tensors
from hf_quant import QuantLinear, quantize_model
from hf_quant.codec import Codec
from hf_quant.codecs.compressed import CompressedFloats, CompressedIntegers
from hf_quant.codecs.hqq import Hqq
from hf_quant.codecs.quanto import QuantoBits, QuantoBytes
from hf_quant.codecs.torchao import TorchAoFloat8, TorchAoIntegers
from hf_quant.testing.tiny import load, logits, plain_checkpoint

pytestmark = pytest.mark.parity


def weight(N: int = 64, K: int = 128, seed: int = 0) -> Tensor:
    return torch.randn(N, K, generator=torch.Generator().manual_seed(seed))


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", [8, 4, 3, 2, 1])
@pytest.mark.parametrize("optimize", [True, False])
def test_hqq(bits: int, axis: int, optimize: bool) -> None:
    quantizer = pytest.importorskip("hqq.core.quantize").Quantizer
    exact = weight()
    packed, meta = quantizer.quantize(
        exact, nbits=bits, group_size=64, axis=axis, optimize=optimize, round_zero=bits == 4, device="cpu"
    )
    codec = Hqq(
        bits=bits, group_size=64, axis=axis, optimize=optimize, round_zero=bits == 4, dtype=torch.float32
    )
    parts = codec.quantize(exact)
    assert torch.equal(parts["W_q"], packed)
    torch.testing.assert_close(parts["scale"], meta["scale"], rtol=1e-6, atol=0)
    torch.testing.assert_close(parts["zero"], meta["zero"], rtol=1e-5, atol=1e-5)
    theirs = {**parts, "W_q": packed, "scale": meta["scale"], "zero": meta["zero"]}
    unpacked = quantizer.dequantize(packed, {**meta, "compute_dtype": torch.float32})
    assert torch.equal(codec.dequantize(theirs, (64, 128), torch.float32), unpacked)


def test_hqq_writes_the_tensors_of_the_library_s_layers() -> None:
    hqq = pytest.importorskip("hqq.core.quantize")
    linear = torch.nn.Linear(128, 64, bias=False)
    settings = hqq.BaseQuantizeConfig(nbits=4, group_size=64, axis=1)
    layer = hqq.HQQLinear(
        linear, quant_config=settings, compute_dtype=torch.float16, device="cpu", del_orig=False
    )
    parts = Hqq(bits=4, group_size=64, axis=1).quantize(linear.weight.detach())
    state = {name: value for name, value in layer.state_dict().items() if name != "bias"}
    assert parts.keys() == state.keys()
    same(parts, {name: state[name] for name in state if name not in ("scale", "zero", "W_q")})
    torch.testing.assert_close(parts["scale"], state["scale"])


@pytest.mark.parametrize("K", [128, 192, 96])
@pytest.mark.parametrize("kind", ["qint8", "qfloat8", "qint4", "qint2"])
def test_quanto(kind: str, K: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quanto = pytest.importorskip("optimum.quanto")
    linear = torch.nn.Linear(K, 64, bias=False)
    with torch.no_grad():
        linear.weight.copy_(weight(64, K))
    layer = quanto.QLinear.from_module(linear, weights=getattr(quanto, kind))
    layer.freeze()
    state = layer.state_dict()
    codec: Codec = (
        QuantoBytes(kind="int8" if kind == "qint8" else "float8")
        if kind in ("qint8", "qfloat8")
        else QuantoBits(inputs=K, bits=4 if kind == "qint4" else 2)
    )
    parts = codec.quantize(linear.weight.detach())
    spelled = {part.suffix: parts[part.name] for part in codec.parts}
    assert spelled.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(spelled[name].float(), tensor.float()), name
    assert torch.equal(codec.dequantize(parts, (64, K), torch.float32), layer.weight.dequantize())


def arguments(**values: Any) -> Any:
    return pytest.importorskip("compressed_tensors.quantization").QuantizationArgs(**values)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_compressed_tensors_words(bits: int, symmetric: bool) -> None:
    compressed_tensors = pytest.importorskip("compressed_tensors.compressors")
    Scheme = pytest.importorskip("compressed_tensors.quantization").QuantizationScheme

    exact = weight()
    codec = CompressedIntegers(bits=bits, group_size=32, symmetric=symmetric)
    parts = codec.quantize(exact)
    args = arguments(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=32)
    scheme = Scheme(targets=["Linear"], weights=args)
    compressor = compressed_tensors.PackedQuantizationCompressor
    unpacked = compressor.decompress(dict(parts), scheme)["weight"]
    torch.testing.assert_close(unpacked, codec.dequantize(parts, (64, 128), torch.float32), rtol=1e-6, atol=0)
    state = {"weight": unpacked, "weight_scale": parts["weight_scale"]}
    if not symmetric:
        zeros = codec.integers(parts, (64, 128)).zero_NG
        assert zeros is not None
        state["weight_zero_point"] = (zeros.to(torch.int16) - 2 ** (bits - 1)).to(torch.int8)
    same(parts, {n: t for n, t in compressor.compress(state, scheme).items() if n in parts})


@pytest.mark.parametrize("strategy", ["tensor", "channel"])
def test_compressed_tensors_floats(strategy: Any) -> None:
    compressed_tensors = pytest.importorskip("compressed_tensors.compressors")
    Scheme = pytest.importorskip("compressed_tensors.quantization").QuantizationScheme

    codec = CompressedFloats(strategy=strategy)
    parts = codec.quantize(weight())
    scheme = Scheme(
        targets=["Linear"], weights=arguments(num_bits=8, type="float", symmetric=True, strategy=strategy)
    )
    unpacked = compressed_tensors.FloatQuantizationCompressor.decompress(dict(parts), scheme)["weight"]
    torch.testing.assert_close(unpacked.float(), codec.dequantize(parts, (64, 128), torch.float32))


@pytest.fixture(scope="module")
def torchao() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchao.quantization")


def test_torchao(torchao: Any) -> None:
    granularity = pytest.importorskip("torchao.quantization.granularity")
    cases: list[tuple[Codec, Any]] = [
        (TorchAoIntegers(), torchao.Int8WeightOnlyConfig(version=2)),
        (
            TorchAoIntegers(bits=4, group_size=32, scales=torch.bfloat16),
            torchao.IntxWeightOnlyConfig(
                weight_dtype=vars(torch)["int4"], granularity=granularity.PerGroup(32)
            ),
        ),
        (TorchAoFloat8(), torchao.Float8WeightOnlyConfig()),
    ]
    for codec, config in cases:
        linear = torch.nn.Linear(128, 64, bias=False, dtype=torch.bfloat16)
        exact = linear.weight.detach().clone()
        torchao.quantize_(linear, config)
        held = linear.weight
        theirs = {
            name: getattr(held, name) for name in ("qdata", "scale", "zero_point") if hasattr(held, name)
        }
        parts = codec.quantize(exact)
        made = codec.dequantize(theirs, (64, 128), torch.bfloat16)
        torch.testing.assert_close(made, held.dequantize(), rtol=2**-7, atol=0)
        for name, tensor in theirs.items():
            assert parts[name].shape == tensor.shape, (codec, name)
        step = (parts["qdata"].float() - theirs["qdata"].float()).abs().max()
        assert step <= (32 if isinstance(codec, TorchAoFloat8) else 1), codec
        torch.testing.assert_close(parts["scale"].float(), theirs["scale"].float(), rtol=2**-7, atol=0)


def peer(folder: Path) -> Tensor:
    """The peer's logits for what is in a folder.

    It cannot read packed zeros of compressed-tensors 0.20: their shape is left unpacked when it is asked for.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            made: Tensor = model(torch.arange(4, 20)[None]).logits
    return made


def scheme(**values: object) -> CompressedTensorsConfig:
    weights = QuantizationArgs.from_dict(values)
    one = QuantizationScheme(targets=("Linear",), weights=weights)
    return CompressedTensorsConfig(config_groups={"group_0": one}, ignore=("lm_head",))


@pytest.mark.parametrize(
    "config",
    [
        scheme(num_bits=4, strategy="group", group_size=32),
        scheme(num_bits=8, strategy="channel"),
        scheme(num_bits=8, type="float", strategy="tensor"),
    ],
)
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_the_peer_reads_compressed_tensors_made_here(
    family: str, config: CompressedTensorsConfig, tmp_path: Path
) -> None:
    pytest.importorskip("compressed_tensors")
    model = load(plain_checkpoint(family, tmp_path / "plain"))
    quantize_model(model, config)
    model.save_pretrained(tmp_path / "packed")
    torch.testing.assert_close(peer(tmp_path / "packed"), logits(model), rtol=1e-4, atol=1e-4)


def test_torchao_files_go_both_ways(torchao: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM
    from transformers import TorchAoConfig as PeerConfig

    folder = plain_checkpoint("llama", tmp_path / "plain", dtype=torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            quantization_config=PeerConfig(torchao.Int8WeightOnlyConfig(version=2)),
        )
        theirs.save_pretrained(tmp_path / "theirs")
        with torch.no_grad():
            expected = theirs(torch.arange(4, 20)[None]).logits
    ours = load(tmp_path / "theirs")
    assert (logits(ours) - expected).norm() < 0.02 * expected.norm()
    ours.save_pretrained(tmp_path / "again")
    first, second = (dict(read_tensors(tmp_path / name)) for name in ("theirs", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    before, after = (
        json.loads((tmp_path / name / "config.json").read_text())["quantization_config"]
        for name in ("theirs", "again")
    )
    assert before == after
    config = TorchAoConfig(
        quant_type={"default": {"_type": "Int8WeightOnlyConfig", "_data": {}, "_version": 2}}
    )
    made = load(folder, quantization_config=config)
    made.save_pretrained(tmp_path / "ours")
    theirs_of_ours = peer(tmp_path / "ours")
    assert (theirs_of_ours - logits(made)).norm() < 0.02 * theirs_of_ours.norm()


@pytest.mark.parametrize(
    "config", [HqqConfig.from_dict({"quant_method": "hqq", "nbits": 4}), QuantoConfig(weights="int4")]
)
def test_layers_of_libraries_read_tensors_made_here(config: HqqConfig | QuantoConfig, tmp_path: Path) -> None:
    """Where the peer reads no files of a method, the library's own layers do."""
    model = load(plain_checkpoint("llama", tmp_path / "plain"), quantization_config=config)
    model.save_pretrained(tmp_path / "packed")
    prefix = "model.layers.0.mlp.up_proj."
    state = {n.removeprefix(prefix): t for n, t in read_tensors(tmp_path / "packed", f"{prefix}*")}
    ours = model.get_submodule(prefix[:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(config, HqqConfig):
            hqq = pytest.importorskip("hqq.core.quantize")
            layer = hqq.HQQLinear(None, quant_config=None, compute_dtype=torch.float16, device="cpu")
            layer.load_state_dict(state)
            found = layer.dequantize().float()
        else:
            quanto = pytest.importorskip("optimum.quanto")
            layer = quanto.QLinear.from_module(torch.nn.Linear(64, 128, bias=False), weights=quanto.qint4)
            layer.freeze()
            layer.load_state_dict(state)
            found = layer.weight.dequantize()
    assert isinstance(ours, QuantLinear)
    torch.testing.assert_close(found, ours.dequantize(), rtol=2e-3, atol=2e-3)


def test_lora_of_peft_trains_on_packed_layers_and_refuses_to_write_into_them(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from hf_quant.errors import PackedWeightError

    config = scheme(num_bits=4, strategy="group", group_size=32)
    model = load(plain_checkpoint("llama", tmp_path / "plain"), quantization_config=config)
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights="gaussian")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, settings)
    ids = torch.arange(4, 20)[None]
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05)
    losses = []
    for _ in range(8):
        loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    with pytest.raises(PackedWeightError, match="exists only packed"):
        adapted.merge_adapter()
    adapted.save_pretrained(tmp_path / "adapter")
    assert (tmp_path / "adapter/adapter_model.safetensors").exists()
