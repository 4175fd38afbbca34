"""Tiny models of several layouts, and packed checkpoints made from them tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from hf_config import AutoConfig
from hf_hub_io.write import TensorBytes, save_tensors
from hf_modeling import AutoModelForCausalLM
from hf_modeling.classes import find_class
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.weights.convert import read_tensors
from hf_modeling.weights.save import buffer_of
from hf_modeling.weights.source import STORED_DTYPES
from hf_quant.codec import Codec

SIZES: Mapping[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Of every model here, as far as the family has them."""

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": SIZES,
    "phi3": SIZES,
    "qwen3_moe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
    "gpt2": {
        "vocab_size": 64,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "initializer_range": 0.2,
    },
}
"""Plain files, files that join projections, experts one by one, and transposed matrices."""

CLASSES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}
LEFT_PLAIN = ("embed", "lm_head", "wte", "wpe", "mlp.gate.")
"""Parts of names of matrices that packed checkpoints keep plain."""


def plain_checkpoint(
    family: str, folder: Path, *, dtype: torch.dtype = torch.float32, **changes: Any
) -> Path:
    """A folder with a random model of this family."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**FAMILIES[family], **changes})
    find_class(CLASSES[family])(config).to(dtype).save_pretrained(folder)
    return folder


@final
@dataclass(frozen=True, kw_only=True)
class PackedCheckpoint:
    """A folder with packed weights, and one with the plain numbers that they stand for."""

    packed: Path
    plain: Path


def packed_checkpoint(
    family: str,
    folder: Path,
    codec: Codec | Callable[[str], Codec | None],
    settings: Mapping[str, object],
    **changes: Any,
) -> PackedCheckpoint:
    """A checkpoint as another tool would write it: matrices packed one by one as the files have them.

    codec: for all layers, or by a layer's name; None leaves it plain.
    """
    source = plain_checkpoint(family, folder / "source", **changes)
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    for name, weight in read_tensors(source):
        chosen = codec(name) if callable(codec) else codec
        if weight.ndim < 2 or chosen is None or any(part in name for part in LEFT_PLAIN):
            tensors[name] = plain[name] = weight
            continue
        seen = weight.mT.contiguous() if family == "gpt2" else weight
        parts = chosen.quantize(seen)
        spelled = {part.name: name.removesuffix("weight") + part.suffix for part in chosen.parts}
        tensors.update({spelled[part]: tensor for part, tensor in parts.items()})
        made = chosen.dequantize(parts, tuple(seen.shape), weight.dtype)
        plain[name] = made.mT.contiguous() if family == "gpt2" else made
    config = json.loads((source / "config.json").read_text())
    write(folder / "plain", plain, config)
    write(folder / "packed", tensors, {**config, "quantization_config": settings})
    return PackedCheckpoint(packed=folder / "packed", plain=folder / "plain")


def write(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, object]) -> None:
    """A checkpoint of these tensors and this config."""
    stored = {
        name: TensorBytes(
            dtype=STORED_DTYPES[tensor.dtype], shape=tuple(tensor.shape), data=buffer_of(tensor.contiguous())
        )
        for name, tensor in tensors.items()
    }
    save_tensors(folder, stored)
    (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Change a checkpoint's tensors."""
    tensors = {name: tensor.clone() for name, tensor in read_tensors(folder)}
    change(tensors)
    write(folder, tensors, json.loads((folder / "config.json").read_text()))


def load(folder: Path, **arguments: Any) -> CausalLM:
    """The model in a folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, **arguments)
    assert isinstance(model, CausalLM)
    return model


def logits(model: CausalLM) -> Tensor:
    """The model's logits for a few tokens."""
    with torch.no_grad():
        made: Tensor = model(torch.arange(4, 20)[None]).logits
    return made
