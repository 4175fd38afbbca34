"""NF4, FP4 and LLM.int8() against bitsandbytes itself, and checkpoints that the peer made with it, both ways."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hf_config.quantization import BitsAndBytesConfig, QuantizationConfig
from hf_modeling import LlamaForCausalLM
from hf_quant.codecs.bitsandbytes_4bit import BitsAndBytes4Bit
from hf_quant.codecs.bitsandbytes_int8 import BitsAndBytesInt8
from hf_quant.formats import blockwise4 as b4
from integration_tests.peer import peer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    bitsandbytes = pytest.importorskip("bitsandbytes")
    functional = pytest.importorskip("bitsandbytes.functional")

pytestmark = pytest.mark.parity

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
KINDS: list[b4.QuantType] = ["nf4", "fp4"]
SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "dtype": "float32",
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_bytes_and_numbers_are_the_library_s(kind: b4.QuantType, dtype: torch.dtype) -> None:
    weight = torch.randn(256, 320, generator=torch.Generator().manual_seed(0)).to(dtype)
    packed, state = functional.quantize_4bit(weight, quant_type=kind)
    codec = BitsAndBytes4Bit(quant_type=kind)
    parts = codec.quantize(weight)
    theirs = state.as_dict(packed=True)
    assert torch.equal(parts["weight"], packed)
    assert torch.equal(parts["absmax"], theirs["absmax"])
    assert torch.equal(parts["quant_map"], theirs["quant_map"])
    their_state = json.loads(bytes(theirs[f"quant_state.bitsandbytes__{kind}"].tolist()))
    assert json.loads(bytes(parts["quant_state"].tolist())) == their_state
    again = codec.dequantize(parts, (256, 320), dtype)
    assert torch.equal(again, functional.dequantize_4bit(packed, state))


@pytest.mark.parametrize("shape", [(7, 10), (3, 5), (1, 1), (65, 63)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes_are_packed_alike(kind: b4.QuantType, shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    packed, state = functional.quantize_4bit(weight, quant_type=kind)
    parts = BitsAndBytes4Bit(quant_type=kind).quantize(weight)
    assert torch.equal(parts["weight"], packed)
    assert torch.equal(parts["absmax"], state.absmax)


def test_scales_of_scales_are_read_as_the_library_reads_them() -> None:
    weight = torch.randn(256, 320, generator=torch.Generator().manual_seed(0))
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    codec = BitsAndBytes4Bit(double=True)
    parts = codec.quantize(weight)
    theirs = {name.replace("weight.", ""): part for name, part in state.as_dict(packed=True).items()}
    assert torch.equal(parts["nested_quant_map"], theirs["nested_quant_map"])
    assert torch.equal(parts["nested_absmax"], theirs["nested_absmax"])
    # The library's own search takes a neighbour for some numbers near the middle between two levels.
    apart = (parts["absmax"].int() - theirs["absmax"].int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart > 0).float().mean()) < 0.02
    given = {
        "weight": packed,
        "absmax": theirs["absmax"],
        "quant_map": theirs["quant_map"],
        "quant_state": theirs["quant_state.bitsandbytes__nf4"],
        "nested_absmax": theirs["nested_absmax"],
        "nested_quant_map": theirs["nested_quant_map"],
    }
    again = codec.dequantize(given, (256, 320), torch.float32)
    torch.testing.assert_close(again, functional.dequantize_4bit(packed, state), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_eight_bit_weights_and_products_are_the_library_s(dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(96, 128, generator=generator).to(dtype)
    weight[3] = 0
    codec = BitsAndBytesInt8()
    parts = codec.quantize(weight)
    state = bitsandbytes.MatmulLtState()
    state.CB, state.SCB, _ = functional.int8_vectorwise_quant(weight.half())
    state.threshold, state.is_training = 6.0, False
    assert torch.equal(parts["weight"], state.CB)
    assert torch.equal(parts["SCB"], state.SCB)
    expected = functional.int8_vectorwise_dequant(state.CB, state.SCB)
    assert torch.equal(codec.dequantize(parts, (96, 128), torch.float32), expected)
    x = torch.randn(rows, 128, generator=generator).to(dtype)
    x[0, 7], x[-1, 20] = 9, -40
    product = bitsandbytes.matmul(x, weight, state=state, threshold=6.0)
    assert torch.equal(codec.product(x, parts, (96, 128)), product)


CONFIGS: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4 double": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "fp4 under bfloat16": {"load_in_4bit": True, "bnb_4bit_quant_storage": "bfloat16"},
    "int8": {"load_in_8bit": True},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that the peer saved."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("plain")
    peer().LlamaForCausalLM(peer().LlamaConfig(**SIZES)).save_pretrained(path)
    return path


def theirs(path: Path, **options: Any) -> Any:
    """A peer's model. In training mode its 4-bit layers leave their weights as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peer().AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **options)


@torch.no_grad()
def logits(model: Any, ids: Tensor, *, training: bool) -> Tensor:
    made: Tensor = model.train(training)(ids).logits
    return made


def settings(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "config.json").read_text())["quantization_config"]
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_the_peer_s_checkpoints_load_and_save_unchanged(name: str, plain: Path, tmp_path: Path) -> None:
    config = peer().BitsAndBytesConfig(**CONFIGS[name])
    original = theirs(plain, quantization_config=config)
    original.save_pretrained(tmp_path / "theirs")
    ours = LlamaForCausalLM.from_pretrained(tmp_path / "theirs")
    ids = torch.randint(0, 96, (2, 9), generator=torch.Generator().manual_seed(0))
    expected = logits(original, ids, training=name != "int8")
    torch.testing.assert_close(logits(ours, ids, training=False), expected, rtol=1e-5, atol=1e-6)
    ours.save_pretrained(tmp_path / "ours")
    before, after = (load_file(tmp_path / who / "model.safetensors") for who in ("theirs", "ours"))
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert tensor.dtype == after[key].dtype
        assert torch.equal(tensor.flatten().view(torch.uint8), after[key].flatten().view(torch.uint8)), key
    assert settings(tmp_path / "ours") == settings(tmp_path / "theirs")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_peer_loads_what_is_packed_here(name: str, plain: Path, tmp_path: Path) -> None:
    config = QuantizationConfig.from_dict({"quant_method": "bitsandbytes", **CONFIGS[name]})
    ours = LlamaForCausalLM.from_pretrained(plain, quantization_config=config)
    ours.save_pretrained(tmp_path)
    ids = torch.randint(0, 96, (2, 9), generator=torch.Generator().manual_seed(0))
    given = logits(theirs(tmp_path), ids, training=name != "int8")
    torch.testing.assert_close(logits(ours, ids, training=False), given, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_with_scales_across_gives_the_numbers_it_was_made_of(
    plain: Path, tmp_path: Path
) -> None:
    """What the peer saves after a forward pass on a machine with bfloat16 instructions, made here by hand."""
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    ours = LlamaForCausalLM.from_pretrained(plain, quantization_config=config)
    ours.save_pretrained(tmp_path)
    from safetensors.torch import save_file

    tensors = load_file(tmp_path / "model.safetensors")
    for name in [name for name in tensors if name.endswith(".absmax")]:
        state = json.loads(bytes(tensors[name.replace("absmax", "quant_state.bitsandbytes__nf4")].tolist()))
        rows = state["shape"][0]
        tensors[name] = tensors[name].view(rows, -1).T.contiguous().bfloat16()
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(0, 96, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        logits(again, ids, training=False), logits(ours, ids, training=False), rtol=0.1, atol=0.02
    )
