"""dots.note's text model: latent attention over picked keys or windows, each with heads of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hf_config.families.dots3_note_text import Dots3NoteTextConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import INDEX_WEIGHTS, corrected_weights, paired
from hf_modeling.families.mixer_parts import ATTENTION
from hf_modeling.families.moe_parts import always_on, by_kind, corrected_moe, drafting
from hf_modeling.families.parts import gated_mlp, window
from hf_modeling.spec import DecoderSpec, LatentAttention, OutputGate, OwnIndex, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Dots3NoteTextConfig) -> DecoderSpec:
    """The decoder that a dots.note text config describes."""
    mixers = [mixer(c, layer) for layer in range(c.num_hidden_layers)]
    sparse = corrected_moe(c, c.n_routed_experts)
    width = c.shared_experts_intermediate_size * c.n_shared_experts
    sparse = replace(sparse, shared=always_on(width, c.hidden_act))
    return paired(c, mixers, by_kind(c.mlp_layer_types, gated_mlp(c), sparse))


def mixer(c: Dots3NoteTextConfig, layer: int) -> LatentAttention:
    """The attention of one layer; its latents are scaled as if they were as wide as the model."""
    own, kind = c.per_layer_config.get(layer, {}), c.layer_types[layer]
    heads = {name: own.get(name, value) for name, value in sizes(c).items()}
    turn = rope(c.rope_parameters[kind], heads["head_dim"], c.max_position_embeddings, layout="interleaved")
    norm = RmsNorm(eps=c.rms_norm_eps)
    index = OwnIndex(heads=c.index_n_heads, head_dim=c.index_head_dim, top_k=c.index_topk, rope=turn)
    return LatentAttention(
        heads=heads["num_attention_heads"],
        nope_dim=heads["qk_nope_head_dim"],
        rope_dim=heads["qk_rope_head_dim"],
        value_dim=heads["v_head_dim"],
        kv_rank=heads["kv_lora_rank"],
        query_rank=heads["q_lora_rank"],
        norm=norm,
        rope_norm=norm,
        rope=turn,
        scale=(heads["qk_nope_head_dim"] + heads["qk_rope_head_dim"]) ** -0.5,
        mask=window(c.sliding_window if kind == "sliding_attention" else None),
        index=index if kind == "indexed_attention" else None,
        gate=OutputGate(per="head"),
        query_multiplier=math.sqrt(c.hidden_size / heads["q_lora_rank"]),
        latent_multiplier=math.sqrt(c.hidden_size / heads["kv_lora_rank"]),
        bias=c.attention_bias,
        dropout=c.attention_dropout,
    )


def sizes(c: Dots3NoteTextConfig) -> Mapping[str, int]:
    """What windowed layers may have otherwise."""
    return {
        "num_attention_heads": c.num_attention_heads,
        "head_dim": c.head_dim,
        "qk_nope_head_dim": c.qk_nope_head_dim,
        "qk_rope_head_dim": c.qk_rope_head_dim,
        "v_head_dim": c.v_head_dim,
        "kv_lora_rank": c.kv_lora_rank,
        "q_lora_rank": c.q_lora_rank or c.hidden_size,
    }


def weights(c: Dots3NoteTextConfig) -> WeightTable:
    """One tensor for each expert and projection."""
    table = corrected_weights(c.num_hidden_layers, 1, fp32=(INDEX_WEIGHTS,))
    names = {"k_rope_only_layernorm.weight": "k_rope_norm.weight", "g_proj.weight": "gate_proj.weight"}
    return replace(table, rules=(*renames(names, disk=ATTENTION, memory=ATTENTION), *table.rules))


FAMILY = Family(
    model_type="dots3_note_text",
    config=Dots3NoteTextConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("model.mtp.{rest}"),),
    classes={"base": "Dots3NoteTextModel", "causal-lm": "Dots3NoteForCausalLM"},
)
