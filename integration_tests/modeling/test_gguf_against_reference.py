"""GGUF files written by the reference package: every packing's numbers, and models that give the same logits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize

from hf_config import AutoConfig
from hf_hub_io.gguf import GgmlType
from hf_modeling.auto import AutoModelForCausalLM
from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.errors import (
    MissingWeightsError,
    UnexpectedWeightsError,
    UnsupportedDTypeError,
    UnsupportedFormatError,
)
from hf_modeling.weights.gguf_blocks import UNPACKERS, unpack

pytestmark = pytest.mark.parity

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with heads of their own size, tied": ("llama", {"head_dim": 32, "tie_word_embeddings": True}),
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3}),
    "llama with biases": ("llama", {"attention_bias": True}),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "gemma2": ("gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 5}),
    "phi3": ("phi3", {}),
}
IDS = torch.tensor([[5, 17, 33, 2, 90, 41, 8, 64, 12]])


def original(model_type: str, changes: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **SIZES, **changes)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def write(
    model: PreTrainedModel, folder: Path, kind: str = "F32", *, without: str = "", extra: str = ""
) -> Path:
    """The model as the converter of llama.cpp writes it: its names, its order of rotary rows, its norms."""
    model.save_pretrained(folder / "hub")
    config = model.config
    facts: dict[str, Any] = vars(config)
    path = folder / "model.gguf"
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_context_length(facts["max_position_embeddings"])
    writer.add_block_count(facts["num_hidden_layers"])
    writer.add_embedding_length(facts["hidden_size"])
    writer.add_feed_forward_length(facts["intermediate_size"])
    writer.add_head_count(facts["num_attention_heads"])
    writer.add_head_count_kv(facts["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(facts["rms_norm_eps"])
    writer.add_rope_freq_base(facts["rope_parameters"].rope_theta)
    head_dim = facts.get("head_dim") or facts["hidden_size"] // facts["num_attention_heads"]
    writer.add_key_length(head_dim)
    writer.add_token_list([f"t{i}" for i in range(facts["vocab_size"])])
    writer.add_eos_token_id(facts["eos_token_id"])
    writer.add_pad_token_id(facts["pad_token_id"])
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(facts["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(facts["final_logit_softcapping"])
        writer.add_sliding_window(facts["sliding_window"])
    if facts["rope_parameters"].rope_type == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(facts["rope_parameters"].factor)
    if facts["rope_parameters"].rope_type == "llama3":
        from transformers import LlamaConfig
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        peer = LlamaConfig(**{**SIZES, "rope_parameters": LLAMA3})
        plain = 1.0 / LLAMA3["rope_theta"] ** (torch.arange(0, head_dim, 2) / head_dim)
        factors = plain / ROPE_INIT_FUNCTIONS["llama3"](peer, "cpu")[0]
        writer.add_tensor("rope_freqs.weight", factors.numpy())
    from safetensors.torch import load_file

    names = gguf.get_tensor_name_map(
        getattr(gguf.MODEL_ARCH, config.model_type.upper()), facts["num_hidden_layers"]
    )
    for name, tensor in load_file(folder / "hub" / "model.safetensors").items():
        values = tensor
        if config.model_type == "llama" and (match := re.search(r"\.([qk])_proj\.", name)):
            heads = facts["num_attention_heads" if match[1] == "q" else "num_key_value_heads"]
            rows = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
            values = rows.transpose(1, 2).reshape(tensor.shape)
        if config.model_type == "gemma2" and name.endswith("norm.weight"):
            values = tensor + 1
        there = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if there == without:
            continue
        packing = gguf.GGMLQuantizationType[kind if values.ndim > 1 else "F32"]
        packed = quantize(values.numpy(), packing)
        writer.add_tensor(there, packed, raw_dtype=packing)
    if extra:
        writer.add_tensor(extra, np.zeros(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", UNPACKERS, ids=lambda kind: kind.name)
def test_every_packing_gives_the_reference_numbers(kind: GgmlType) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (50, kind.block_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = dequantize(blocks, gguf.GGMLQuantizationType[kind.name]).reshape(-1)
    given = unpack(kind, torch.from_numpy(blocks).flatten()).numpy()
    usable = np.isfinite(expected)  # random bytes make a few scales infinite
    assert usable.mean() > 0.8
    np.testing.assert_array_equal(given[usable], expected[usable])


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_logits_are_the_originals(name: str, tmp_path: Path) -> None:
    model = original(*MODELS[name])
    path = write(model, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name)
    assert type(loaded) is type(model)
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, rtol=1e-5, atol=1e-4)
    assert loaded.config.eos_token_id == 1
    assert loaded.load_report is not None


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
@torch.no_grad()
def test_packed_weights_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    model = original("llama", {})
    path = write(model, tmp_path, kind)
    loaded = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    packing = gguf.GGMLQuantizationType[kind]
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            expected = dequantize(quantize(parameter.detach().numpy(), packing), packing)
            given = loaded.get_parameter(name).numpy()
            np.testing.assert_array_equal(given, expected.reshape(given.shape), err_msg=name)


@torch.no_grad()
def test_the_peer_gives_the_same_logits(tmp_path: Path) -> None:
    import transformers

    path = write(original("llama", {}), tmp_path, "Q8_0")
    ours = AutoModelForCausalLM.from_pretrained(path)(IDS).logits
    peer = transformers.LlamaForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    torch.testing.assert_close(ours, peer(IDS).logits, rtol=1e-5, atol=1e-5)


def test_strict_laws_hold(tmp_path: Path) -> None:
    model = original("llama", {})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(MissingWeightsError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        AutoModelForCausalLM.from_pretrained(write(model, tmp_path / "a", without="blk.1.ffn_up.weight"))
    with pytest.raises(UnexpectedWeightsError, match=r"blk\.0\.surplus\.weight"):
        AutoModelForCausalLM.from_pretrained(write(model, tmp_path / "b", extra="blk.0.surplus.weight"))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "rwkv7")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedFormatError, match=r"architecture 'rwkv7', and llama, qwen2"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "other.gguf")
    path = write(original("llama", {}), tmp_path)
    data = path.read_bytes()
    name = b"blk.0.ffn_gate.weight"
    at = (
        data.index(name) + len(name) + 4 + 2 * 8
    )  # after the name: how many dimensions, two of them, the type
    changed = data[:at] + int(GgmlType.Q8_1).to_bytes(4, "little") + data[at + 4 :]
    path.write_bytes(changed)
    with pytest.raises(UnsupportedDTypeError, match=r"'blk\.0\.ffn_gate\.weight' is packed as Q8_1"):
        AutoModelForCausalLM.from_pretrained(path)
