"""Pairs of models: a decoder made to read an encoder, and the weight tables of both under one roof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hf_modeling.errors import SpecError
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    Block,
    Causal,
    CrossAttention,
    Crossed,
    DecoderSpec,
    EncoderSpec,
    ModelSpec,
    NormedSum,
    PreNorm,
)
from hf_modeling.weights.table import MEMORY_PREFIX, Drop, Rule, WeightTable, renames, rule

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

AS_ENCODER: Final = ("is_decoder", "add_cross_attention")
"""What configs of a pair set to say that a model reads left to right, and reads the other."""

BERT_CROSS: Final[Mapping[str, str]] = {
    "crossattention.self.query.{s}": "cross_attn.q_proj.{s}",
    "crossattention.self.key.{s}": "cross_attn.k_proj.{s}",
    "crossattention.self.value.{s}": "cross_attn.v_proj.{s}",
    "crossattention.output.dense.{s}": "cross_attn.o_proj.{s}",
    "crossattention.output.LayerNorm.{s}": "cross_attention_layernorm.{s}",
}
"""The names that a layer of BERT's kin has for attention to an encoder."""


def bert_cross(prefix: str) -> tuple[Rule, ...]:
    """The weight rules of attention to an encoder in BERT's kin."""
    return renames(BERT_CROSS, disk=prefix + "encoder.layer.{layer}.", memory="model.layers.{layer}.")


def plain(c: PreTrainedConfig) -> PreTrainedConfig:
    """The config of the model by itself."""
    return c.replace(**{name: False for name in AS_ENCODER if name in c.field_names()})


def as_decoder(spec: ModelSpec, model_type: str) -> DecoderSpec:
    """The model of `spec` reading left to right, with attention to an encoder after its own in each layer.

    Raises:
        SpecError: layers that are not attention and a network between norms.
    """
    match spec:
        case DecoderSpec():
            return replace(spec, blocks=tuple(crossed(block, model_type) for block in spec.blocks))
        case EncoderSpec(relative=None, order=None):
            return DecoderSpec(
                width=spec.width,
                embed=spec.embed,
                blocks=tuple(crossed(block, model_type) for block in spec.blocks),
                norm=spec.norm,
                head=spec.head,
            )
        case _:
            raise _no_decoder(model_type)


def crossed(block: Block, model_type: str) -> Crossed:
    """A layer with attention to an encoder, of the same heads, after its own."""
    if not isinstance(block, PreNorm | NormedSum) or block.mixer_norm is None:
        raise _no_decoder(model_type)
    mixer = block.mixer
    if not isinstance(mixer, Attention) or mixer.heads != mixer.kv_heads:
        raise _no_decoder(model_type)
    mask = Causal() if isinstance(mixer.mask, Bidirectional) else mixer.mask
    cross = CrossAttention(
        heads=mixer.heads,
        head_dim=mixer.head_dim,
        qkv_bias=mixer.qkv_bias,
        output_bias=mixer.output_bias,
        dropout=mixer.dropout,
    )
    return Crossed(
        block=replace(block, mixer=replace(mixer, mask=mask)),
        cross=cross,
        norm=block.mixer_norm,
        residual=block.mixer_residual,
    )


def encoder_rules(table: WeightTable) -> Iterator[Rule | Drop]:
    """A base model's rules with `encoder.` in front of its names, and without those of heads."""
    start = table.prefix
    for one in table.rules:
        if all(name.startswith(start) for name in one.disk):
            disk = tuple("encoder." + name.removeprefix(start) for name in one.disk)
            yield replace(one, disk=disk) if isinstance(one, Drop) else _inside(one, disk, "encoder.")
    yield rule("encoder.{rest}", "model.encoder.{rest}")


def decoder_rules(table: WeightTable) -> Iterator[Rule | Drop]:
    """A language model's rules with `decoder.` in front of its names."""
    for one in table.rules:
        disk = tuple("decoder." + name for name in one.disk)
        yield replace(one, disk=disk) if isinstance(one, Drop) else _inside(one, disk, "decoder.")
    yield rule(f"decoder.{table.prefix}{{rest}}", "model.decoder.{rest}")
    yield rule("decoder.{rest}", "{rest}")


def _inside(one: Rule, disk: tuple[str, ...], part: str) -> Rule:
    memory = tuple(
        MEMORY_PREFIX + part + name.removeprefix(MEMORY_PREFIX) if name.startswith(MEMORY_PREFIX) else name
        for name in one.memory
    )
    return replace(one, disk=disk, memory=memory)


def _no_decoder(model_type: str) -> SpecError:
    return SpecError(
        f"{model_type!r} cannot be the decoder of a pair: its layers are not attention and a network between norms",
        fix="take a decoder such as bert, roberta or gpt2",
    )
