"""LongT5: T5 whose encoder looks at what is near, and with "transient-global" at summaries of blocks of tokens."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.longt5 import LongT5Config
from hf_modeling.families.family import Family
from hf_modeling.families.t5_parts import (
    IGNORED,
    WITHOUT_PREFIX,
    block,
    norm,
    t5,
    t5_weights,
)
from hf_modeling.spec import LocalAttention, LocalBias, Seq2SeqSpec, Summaries
from hf_modeling.weights.table import WeightTable, rule


def spec(c: LongT5Config) -> Seq2SeqSpec:
    """The encoder-decoder that a LongT5 config describes."""
    summaries = Summaries(block=c.global_block_size, norm=norm(c)) if _summarizes(c) else None
    size = c.local_radius + 1
    mixer = LocalAttention(
        heads=c.num_heads, head_dim=c.d_kv, size=size, summaries=summaries, dropout=c.dropout_rate
    )
    bias = LocalBias(
        buckets=c.relative_attention_num_buckets,
        heads=c.num_heads,
        size=size,
        max_distance=c.relative_attention_max_distance,
        block=None if summaries is None else summaries.block,
    )
    return t5(
        c,
        scaled=c.scale_decoder_outputs,
        encoder_blocks=(block(c, mixer),) * c.num_layers,
        encoder_bias=bias,
    )


def weights(c: LongT5Config) -> WeightTable:
    """T5's names, and those of the encoder's attention."""
    mixer = "TransientGlobalSelfAttention" if _summarizes(c) else "LocalSelfAttention"
    table = t5_weights(c, encoder_attention=mixer)
    disk = f"transformer.encoder.block.{{layer}}.layer.0.{mixer}."
    first = disk.replace("{layer}", "0")
    return replace(
        table,
        rules=(
            *table.rules,
            rule(
                f"{disk}global_input_layer_norm.weight",
                "model.encoder.layers.{layer}.self_attn.block_norm.weight",
            ),
            rule(f"{first}global_relative_attention_bias.weight", "model.encoder.relative.block_weight"),
        ),
    )


def _summarizes(c: LongT5Config) -> bool:
    return c.encoder_attention_type == "transient-global"


FAMILY = Family(
    model_type="longt5",
    config=LongT5Config,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    ignored=IGNORED,
    begins=WITHOUT_PREFIX,
    classes={
        "base": "LongT5Model",
        "seq2seq-lm": "LongT5ForConditionalGeneration",
        "text-encoding": "LongT5EncoderModel",
    },
)
