"""Small models that between them have what makes layouts hard."""

from __future__ import annotations

from dataclasses import replace

from hf_parallel.testing.compare import Case

SIZES: dict[str, object] = {
    "vocab_size": 61,  # odd: the last rank's rows end in padding
    "hidden_size": 32,
    "intermediate_size": 46,  # not a multiple of 4
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,  # fewer than ranks at tp=4
    "initializer_range": 0.3,
    "pad_token_id": 0,
}

LLAMA = Case(model="llama", config=SIZES, class_name="LlamaForCausalLM", steps=3, max_norm=1.0)
TIED = replace(LLAMA, config={**SIZES, "tie_word_embeddings": True})
DEEP = replace(TIED, config={**SIZES, "num_hidden_layers": 4, "tie_word_embeddings": True})
DEEPER = replace(DEEP, config={**SIZES, "num_hidden_layers": 8, "tie_word_embeddings": True})
WINDOWED = Case(
    model="gemma2",
    config={**SIZES, "head_dim": 8, "sliding_window": 5, "query_pre_attn_scalar": 8, "num_hidden_layers": 2},
    class_name="Gemma2ForCausalLM",
    steps=3,
    max_norm=1.0,
)
MIXTURE = Case(
    model="qwen3_moe",
    config={
        **SIZES,
        "head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 20,
        "norm_topk_prob": True,
    },
    class_name="Qwen3MoeForCausalLM",
    steps=3,
    max_norm=1.0,
)
LATENT = Case(
    model="deepseek_v3",
    config={
        **SIZES,
        "num_key_value_heads": 4,
        "kv_lora_rank": 16,
        "q_lora_rank": 12,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4,
        "v_head_dim": 6,
        "n_routed_experts": 4,
        "n_shared_experts": 2,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 20,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    class_name="DeepseekV3ForCausalLM",
    steps=3,
    max_norm=1.0,
)
HYBRID = Case(
    model="qwen3_next",
    config={
        **SIZES,
        "num_hidden_layers": 4,
        "head_dim": 8,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 6,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 20,
        "shared_expert_intermediate_size": 24,
    },
    class_name="Qwen3NextForCausalLM",
    steps=3,
    max_norm=1.0,
)
SINKS = Case(
    model="gpt_oss",
    config={
        **SIZES,
        "head_dim": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    class_name="GptOssForCausalLM",
    steps=3,
    max_norm=1.0,
)
WIDE_NORMS = Case(model="olmo2", config=SIZES, class_name="Olmo2ForCausalLM", steps=3, max_norm=1.0)
DISTANCES = Case(
    model="bloom",
    config={"vocab_size": 61, "hidden_size": 32, "n_layer": 2, "n_head": 4, "hidden_dropout": 0.0},
    class_name="BloomForCausalLM",
    steps=3,
    max_norm=1.0,
)
POSITIONS = Case(
    model="gpt2",
    config={
        "vocab_size": 61,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 32,
        "attn_pdrop": 0.0,
    },
    class_name="GPT2LMHeadModel",
    steps=3,
    max_norm=1.0,
)
NARROW = Case(
    model="opt",
    config={
        "vocab_size": 61,
        "hidden_size": 32,
        "ffn_dim": 46,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "word_embed_proj_dim": 16,
        "do_layer_norm_before": False,
        "dropout": 0.0,
    },
    class_name="OPTForCausalLM",
    steps=3,
    max_norm=1.0,
)
"""A table narrower than the stream, with projections into it and out of it."""
STATES = Case(
    model="bamba",
    config={
        **SIZES,
        "num_hidden_layers": 2,
        "attn_layer_indices": [1],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_n_groups": 1,
        "mamba_d_state": 4,
        "mamba_expand": 2,
    },
    class_name="BambaForCausalLM",
    steps=3,
    max_norm=1.0,
)
"""A state space whose one group of maps is shared by all ranks, beside attention."""

FAMILIES = {
    "llama": LLAMA,
    "tied": TIED,
    "windowed": WINDOWED,
    "mixture": MIXTURE,
    "latent": LATENT,
    "sinks": SINKS,
    "hybrid": HYBRID,
    "wide-norms": WIDE_NORMS,
    "distances": DISTANCES,
    "positions": POSITIONS,
    "states": STATES,
    "narrow": NARROW,
}
