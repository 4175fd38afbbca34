"""Small floats and GGUF blocks against compressed-tensors and gguf, and checkpoints that go to the peer and back."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_config.quantization import (
    BitNetQuantConfig,
    FineGrainedFP8Config,
    Mxfp4Config,
    QuantizationConfig,
)
from hf_hub_io.gguf import GgmlType
from hf_modeling import AutoModelForCausalLM
from hf_quant.codecs.nvfp4 import Nvfp4
from hf_quant.formats import e2m1, ggml
from integration_tests.peer import peer

pytestmark = pytest.mark.parity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    helpers = pytest.importorskip("compressed_tensors.compressors.nvfp4.helpers")
    compressors = pytest.importorskip("compressed_tensors.compressors.nvfp4.base")
    presets = pytest.importorskip("compressed_tensors.quantization")
    fp4_utils = pytest.importorskip("compressed_tensors.quantization.utils.fp4_utils")
    gguf = pytest.importorskip("gguf")
    quants = pytest.importorskip("gguf.quants")

TIES = [s * t for t in (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0) for s in (1.0, -1.0)] + [0.0, 0.0]


def test_four_bit_floats_are_packed_as_compressed_tensors_packs_them() -> None:
    x = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0)) * 3
    x[:, : len(TIES)] = torch.tensor(TIES)
    packed = helpers.pack_fp4_to_uint8(fp4_utils.cast_to_fp4(x.clone()))
    assert torch.equal(e2m1.pack(x), packed)
    assert torch.equal(
        e2m1.unpack(packed), helpers.unpack_fp4_from_uint8(packed, *x.shape, dtype=torch.float32)
    )


def test_nvfp4_numbers_are_those_of_compressed_tensors() -> None:
    scheme = presets.preset_name_to_scheme("NVFP4A16", ["Linear"])
    codec = Nvfp4(dialect="compressed-tensors")
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    parts = codec.quantize(weight)
    theirs = compressors.NVFP4PackedCompressor.decompress(
        {
            "weight_packed": parts["weight"],
            "weight_scale": parts["weight_scale"],
            "weight_global_scale": parts["tensor_scale"],
        },
        scheme,
    )["weight"]
    ours = codec.dequantize(parts, (8, 64), theirs.dtype)
    torch.testing.assert_close(ours, theirs, rtol=1e-2 if theirs.dtype == torch.bfloat16 else 1e-6, atol=0)


@pytest.mark.parametrize("kind", ggml.PACKERS, ids=lambda kind: kind.name)
def test_blocks_are_packed_as_gguf_packs_them(kind: GgmlType) -> None:
    weight = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    weight[0], weight[1] = 0, weight[1] * 1e-3
    with np.errstate(all="ignore"):
        expected = quants.quantize(weight.numpy(), gguf.GGMLQuantizationType[kind.name])
    np.testing.assert_array_equal(ggml.pack(kind, weight).numpy(), expected)


LLAMA = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "dtype": "float32",
}
GPT_OSS = {
    **LLAMA,
    "intermediate_size": 96,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "pad_token_id": 0,
    "eos_token_id": 1,
}
QWEN = {
    **LLAMA,
    "head_dim": 16,
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
}
CASES: dict[str, tuple[str, dict[str, Any], QuantizationConfig]] = {
    "mxfp4 experts": ("GptOss", GPT_OSS, Mxfp4Config()),
    "fp8 blocks": ("Llama", LLAMA, FineGrainedFP8Config(weight_block_size=(32, 32))),
    "fp8 blocks of experts": ("Qwen3Moe", QWEN, FineGrainedFP8Config(weight_block_size=(16, 16))),
    "bitnet": ("Llama", LLAMA, BitNetQuantConfig()),
    "bitnet multiplied": ("Llama", LLAMA, BitNetQuantConfig(linear_class="autobitlinear")),
    "bitnet online": (
        "Llama",
        LLAMA,
        BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="online"),
    ),
}


@torch.no_grad()
def logits(model: Any, ids: Tensor) -> Tensor:
    made: Tensor = model(ids).logits
    return made.float()


@pytest.mark.parametrize("name", CASES)
def test_the_peer_calculates_the_same_with_what_is_packed_here(name: str, tmp_path: Path) -> None:
    family, sizes, config = CASES[name]
    torch.manual_seed(0)
    original = getattr(peer(), f"{family}ForCausalLM")(getattr(peer(), f"{family}Config")(**sizes))
    original.save_pretrained(tmp_path / "plain")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", quantization_config=config)
    ours.save_pretrained(tmp_path / "packed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer().AutoModelForCausalLM.from_pretrained(tmp_path / "packed", dtype=torch.float32)
        ids = torch.randint(2, 96, (2, 9), generator=torch.Generator().manual_seed(0))
        expected = logits(theirs, ids)
    given = logits(ours, ids)
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "packed"), ids), given)
    assert float((given - logits(original, ids)).abs().max()) > 0
