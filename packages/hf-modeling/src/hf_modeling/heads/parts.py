"""What several heads are made of: the base model under them, the way to vocabulary logits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never, cast, final

import torch
from torch import Tensor, nn

from hf_modeling.build import build_norm
from hf_modeling.decoder import Decoder
from hf_modeling.encoder import Encoder
from hf_modeling.errors import InputError
from hf_modeling.init import without_weights
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.activation import PLAIN, Unary
from hf_modeling.layers.base import Layer, Linear
from hf_modeling.spec import (
    AfterSeparators,
    BeforeSeparator,
    DecoderSpec,
    EncoderSpec,
    FirstToken,
    GlobalTokens,
    HeadTransform,
    LmHead,
    ModelSpec,
    Seq2SeqSpec,
    StackSpec,
    TextHead,
)

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.model import PreTrainedModel

Base = Decoder | Encoder


def stack_spec(model: PreTrainedModel, config: PreTrainedConfig, spec: ModelSpec | None) -> StackSpec:
    """The spec that a model of one stack is built from: the one given, or its family's."""
    spec = model.family.spec(config) if spec is None else spec
    assert not isinstance(spec, Seq2SeqSpec), f"{type(model).__name__} cannot be built from two stacks"
    return spec


def build_base(config: PreTrainedConfig, spec: StackSpec) -> Base:
    """The base model of a spec, on meta: the headed model around it gives it memory. It keeps no cache."""
    with without_weights():
        if not isinstance(spec, DecoderSpec):
            return Encoder(config, spec)
        decoder = Decoder(config, spec)
    decoder.use_cache = False
    return decoder


def with_pooler_for(head: TextHead, spec: StackSpec) -> StackSpec:
    """The spec of the base model under a head, which has a pooler only if the head reads it."""
    return spec if head.reads == "pooler" else without_pooler(spec)


def without_pooler(spec: StackSpec) -> StackSpec:
    """The spec for heads that read every token."""
    return replace(spec, pooler=None) if isinstance(spec, EncoderSpec) else spec


def marked(
    rule: GlobalTokens | None, more: MoreInputs, input_ids: Tensor | None, mask: Tensor | None
) -> MoreInputs:
    """The further inputs of a call, with the head's own global tokens where it has such and none are marked.

    Raises:
        InputError: a row without the separators that tell where they are.
    """
    if rule is None or input_ids is None or more.get("global_attention_mask") is not None:
        return more
    order_T = torch.arange(input_ids.shape[-1], device=input_ids.device)
    match rule:
        case FirstToken():
            real = torch.ones_like(input_ids) if mask is None else mask
            found = order_T == real.bool().int().argmax(-1, keepdim=True)
        case BeforeSeparator(separator=separator):
            found = order_T < _separators(input_ids, separator)
        case AfterSeparators(separator=separator):
            found = order_T > _separators(input_ids, separator) + 1
        case _:
            assert_never(rule)
    return {**more, "global_attention_mask": found.long()}


def flattened(more: MoreInputs) -> MoreInputs:
    """The further inputs with rows and choices as one axis."""
    joined = {name: x.flatten(0, 1) for name, x in more.items() if isinstance(x, Tensor)}
    return cast("MoreInputs", joined)


def _separators(input_ids: Tensor, separator: int) -> Tensor:
    """The place of each row's first separator, (..., 1)."""
    here = input_ids == separator
    if not bool(here.any(-1).all()):
        raise InputError(
            f"a row without the separator {separator}, which tells its parts apart",
            fix="tokenize both texts together, tokenizer(first, second), or mark tokens by global_attention_mask",
        )
    return here.int().argmax(-1, keepdim=True)


@final
class HeadTransformLayer(Layer):
    """norm(activation(dense(h)))."""

    def __init__(self, width: int, features: int, activation: Unary, norm: Layer, *, bias: bool) -> None:
        super().__init__()
        self.dense = Linear(width, features, bias=bias)
        self.activation = activation
        self.norm = norm

    def forward(self, h: Tensor) -> Tensor:
        return self.norm(self.activation(self.dense(h)))


def build_transform(spec: HeadTransform, width: int) -> HeadTransformLayer:
    """What hidden states pass through before the last projection of a head."""
    features = spec.dim or width
    norm = build_norm(spec.norm, features)
    return HeadTransformLayer(width, features, PLAIN[spec.activation], norm, bias=spec.bias)


def build_lm_head(spec: LmHead, width: int, tokens: nn.Embedding) -> Linear:
    """The vocabulary projection; tied, its weight is the embedding table itself."""
    head = Linear(width, tokens.num_embeddings, bias=spec.bias)
    if spec.tied:
        head.weight = tokens.weight
    return head
