"""The language of the parity table's rows: a model type, and the arguments that make it small.

A row keeps every mechanism of its family at work: windows shorter than the sequence, fewer key/value heads than
heads, multipliers away from one, more than one group of experts. Several rows of one type are its variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Arguments = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model to compare; `name` is the test id.

    `turns_by_length`: rotary frequencies depend on the longest position so far. `unlike`: how names end of
    tensors that the peer does not write as it should: a comment in the row says why.
    """

    name: str
    model_type: str
    turns_by_length: bool = False
    unlike: tuple[str, ...] = ()
    peer_class: str = "AutoModelForCausalLM"
    arguments: Arguments = field(default_factory=dict)


VOCABULARY = 96
BASE: Arguments = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEAD8: Arguments = {**BASE, "head_dim": 8}
HEAD12: Arguments = {**BASE, "head_dim": 12}
HEAD16: Arguments = {**BASE, "head_dim": 16}
GPT2: Arguments = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
SMALL: Arguments = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: Arguments = {"moe_intermediate_size": 40, "num_experts_per_tok": 2}
FOUR: Arguments = {"num_experts": 4, **EXPERTS}
FOUR_LOCAL: Arguments = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT: Arguments = {
    **BASE,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
}
GRANITE: Arguments = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.3,
}
DELTA: Arguments = {
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
MAMBA2: Arguments = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 2,
    "mamba_d_state": 6,
    "mamba_chunk_size": 8,
}
PLAIN_ROPE: Arguments = {"rope_type": "default", "rope_theta": 10000.0}
ALTERNATING = ["full_attention", "sliding_attention"] * 2


def without(arguments: Arguments, *names: str) -> Arguments:
    return {name: value for name, value in arguments.items() if name not in names}


def row(
    name: str,
    *parts: Arguments,
    model_type: str = "",
    turns_by_length: bool = False,
    unlike: tuple[str, ...] = (),
    peer_class: str = "AutoModelForCausalLM",
    **extra: object,
) -> Row:
    merged: dict[str, object] = {}
    for part in (*parts, extra):
        merged.update(part)
    return Row(
        name=name,
        model_type=model_type or name,
        turns_by_length=turns_by_length,
        unlike=unlike,
        peer_class=peer_class,
        arguments=merged,
    )


def rope(kind: str, **values: object) -> Arguments:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **values}}


# A short theta and a long training bring several pairs onto the ramp.
YARN_ROPE: Arguments = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 1024,
}
YARN: Arguments = {"rope_parameters": YARN_ROPE, "max_position_embeddings": 4096}
