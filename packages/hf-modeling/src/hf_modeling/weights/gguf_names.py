"""What a GGUF file calls a model's settings and tensors, and what the Hub's format calls them.

Keys and names are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what converters change
in the values (`convert_hf_to_gguf.py` of llama.cpp) is undone when a tensor is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from hf_hub_io.gguf import GgufFile, GgufValue
from hf_hub_io.jsonio import JsonValue
from hf_modeling.weights.errors import UnsupportedFormatError

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SIZES = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
}
_OTHERS = {
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
}
_TOKENS = {
    "tokenizer.ggml.bos_token_id": "bos_token_id",
    "tokenizer.ggml.eos_token_id": "eos_token_id",
    "tokenizer.ggml.padding_token_id": "pad_token_id",
}
LLAMA3_FACTORS = "rope_freqs.weight"
"""What each rotary frequency is divided by; converters write it for Llama 3.1, and nothing else about it."""


@final
@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How one architecture's files differ from Llama's.

    `names` are tensors inside a block that are called otherwise on the Hub; `pairs` is True where rows of
    queries and keys were reordered for adjacent rotary pairs; `plus_one` where one was added to norms.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    head_dim: bool = True
    pairs: bool = False
    plus_one: bool = False


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(pairs=True),
    "qwen2": Architecture(head_dim=False),
    "qwen3": Architecture(),
    "gemma2": Architecture(
        plus_one=True,
        names={
            "ffn_norm": "pre_feedforward_layernorm",
            "post_attention_norm": "post_attention_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
    ),
    "phi3": Architecture(
        head_dim=False, names={"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
    ),
}


def architecture(file: GgufFile) -> tuple[str, Architecture]:
    """The architecture that a file says it has. Raises UnsupportedFormatError."""
    name = file.metadata.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise UnsupportedFormatError(
            f"{file.path} holds a model of the architecture {name!r}, and {', '.join(ARCHITECTURES)} can be read",
            file=file.path,
        )
    return name, ARCHITECTURES[name]


def hub_name(name: str, facts: Architecture) -> str:
    """What the Hub's checkpoints call the tensor; a name without a counterpart stays as it is."""
    match = _BLOCK.fullmatch(name)
    if match is None:
        return _OUTSIDE.get(name, name)
    layer, part, kind = match.groups()
    there = facts.names.get(part) or _INSIDE.get(part)
    return name if there is None else f"model.layers.{layer}.{there}.{kind}"


def gguf_config(file: GgufFile, llama3_factors: list[float] | None) -> dict[str, JsonValue]:
    """The settings in a file's metadata, as config.json would hold them.

    `llama3_factors` are the values of the tensor `rope_freqs.weight`, where there is one.

    Raises:
        UnsupportedFormatError: an architecture, or a scaling of rotary positions, that is not read here;
            or a size that the file does not give.
    """
    name, facts = architecture(file)
    said = {key.removeprefix(f"{name}."): value for key, value in file.metadata.items()}
    if missing := [key for key in _SIZES if type(said.get(key)) is not int]:
        raise UnsupportedFormatError(
            f"{file.path} gives no single number for {', '.join(f'{name}.{key}' for key in missing)}",
            file=file.path,
        )
    config: dict[str, JsonValue] = {"model_type": name}
    for key, there in {**_SIZES, **_OTHERS, **_TOKENS}.items():
        if isinstance(value := said.get(key), int | float):
            config[there] = value
    if name == "llama" and config.get("sliding_window"):
        config["model_type"] = "mistral"  # converters write both as llama
    vocabulary = file.tensors["token_embd.weight"].shape[0] if "token_embd.weight" in file.tensors else 0
    config["vocab_size"] = vocabulary
    config["tie_word_embeddings"] = "output.weight" not in file.tensors
    head_dim = said.get("attention.key_length") or (facts.pairs and said.get("rope.dimension_count"))
    if facts.head_dim and isinstance(head_dim, int) and head_dim:
        config["head_dim"] = head_dim
    if "blk.0.attn_q.bias" in file.tensors and config["model_type"] == "llama":
        config["attention_bias"] = True
    if name == "gemma2":
        config["query_pre_attn_scalar"] = _gemma2_scalar(said, head_dim)
    if scaling := _scaling(file, said, llama3_factors):
        config["rope_scaling"] = scaling
    return config


def _gemma2_scalar(said: Mapping[str, GgufValue], head_dim: GgufValue | None) -> int:
    """Queries are scaled by their size, but by the width per head in the 27B model, whose 46 layers tell it."""
    width, heads = said["embedding_length"], said["attention.head_count"]
    assert isinstance(width, int)
    assert isinstance(heads, int)
    per_head = width // heads
    return per_head if said["block_count"] == 46 or not isinstance(head_dim, int) else head_dim


def _scaling(
    file: GgufFile, said: Mapping[str, GgufValue], llama3_factors: list[float] | None
) -> dict[str, JsonValue] | None:
    if llama3_factors is not None:
        return _llama3(file, said, llama3_factors)
    kind, factor = said.get("rope.scaling.type", "none"), said.get("rope.scaling.factor")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn") or not isinstance(factor, int | float):
        raise UnsupportedFormatError(
            f"{file.path} scales rotary positions by {kind!r} with the factor {factor!r}", file=file.path
        )
    scaling: dict[str, JsonValue] = {"rope_type": str(kind), "factor": factor}
    if isinstance(original := said.get("rope.scaling.original_context_length"), int):
        scaling["original_max_position_embeddings"] = original
    return scaling


def _llama3(file: GgufFile, said: Mapping[str, GgufValue], factors: list[float]) -> dict[str, JsonValue]:
    """The scaling behind the factors: every published one has these bands and this length, and its own factor."""
    low, high, original, largest = 1.0, 4.0, 8192, max(factors)
    theta = said.get("rope.freq_base", 10000.0)
    assert isinstance(theta, int | float)
    for i, found in enumerate(factors):
        turns = original / (2 * math.pi * theta ** (i / len(factors)))
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        if not math.isclose(found, 1 / ((1 - share) / largest + share), rel_tol=1e-4):
            raise UnsupportedFormatError(
                f"{file.path} divides rotary frequencies by factors that are not Llama 3's", file=file.path
            )
    return {
        "rope_type": "llama3",
        "factor": largest,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }
