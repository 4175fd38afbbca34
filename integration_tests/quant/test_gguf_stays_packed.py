"""A GGUF file whose matrices stay as they lie in it: same logits as unpacked, saved and loaded again as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_config.quantization import GgufConfig
from hf_modeling import AutoModelForCausalLM
from hf_modeling.heads.causal_lm import CausalLM
from hf_quant import QuantizationReport

gguf = pytest.importorskip("gguf")
quants = pytest.importorskip("gguf.quants")

pytestmark = pytest.mark.parity

WIDTH, INNER, VOCABULARY = 64, 128, 96
BLOCK = {
    "attn_norm": ((WIDTH,), "F32"),
    "ffn_norm": ((WIDTH,), "F32"),
    "attn_q": ((WIDTH, WIDTH), "Q4_0"),
    "attn_k": ((WIDTH // 2, WIDTH), "Q5_1"),
    "attn_v": ((WIDTH // 2, WIDTH), "Q8_0"),
    "attn_output": ((WIDTH, WIDTH), "Q4_1"),
    "ffn_gate": ((INNER, WIDTH), "MXFP4"),
    "ffn_up": ((INNER, WIDTH), "F32"),
    "ffn_down": ((WIDTH, INNER), "Q5_0"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A Llama of many packings, with rows of queries and keys in the file's own order."""
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    random = np.random.default_rng(0)
    tensors = {"token_embd": ((VOCABULARY, WIDTH), "Q8_0"), "output_norm": ((WIDTH,), "F32")}
    tensors["output"] = ((VOCABULARY, WIDTH), "Q4_0")
    tensors |= {f"blk.{i}.{name}": what for i in range(2) for name, what in BLOCK.items()}
    for name, (shape, kind) in tensors.items():
        packing = gguf.GGMLQuantizationType[kind]
        plain = (random.standard_normal(shape) * 0.2).astype(np.float32)
        writer.add_tensor(f"{name}.weight", quants.quantize(plain, packing), raw_dtype=packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@torch.no_grad()
def logits(model: CausalLM) -> Tensor:
    made: Tensor = model(torch.arange(2, 12)[None]).logits
    return made


def test_matrices_stay_packed(file: Path, tmp_path: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(file)
    packed = AutoModelForCausalLM.from_pretrained(file, quantization_config=GgufConfig())
    expected = logits(plain)
    torch.testing.assert_close(logits(packed), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    report = packed.quantization_report
    assert isinstance(report, QuantizationReport)
    assert report.count("packed") == 14
    assert report.bytes_after < report.bytes_before / 2
    packed.save_pretrained(tmp_path / "one")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    assert torch.equal(logits(again), logits(packed))
    again.save_pretrained(tmp_path / "two")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one/model.safetensors").stat().st_size < 1.1 * file.stat().st_size


def test_a_caller_may_want_plain_numbers(file: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(file, quantization_config=GgufConfig(dequantize=True))
    assert model.config.quantization_config is None
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(file)))
