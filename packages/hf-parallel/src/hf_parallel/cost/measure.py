"""What there is to know about a model before it has weights: parameters, operations, and what backward keeps.

Counted on the model itself, built without memory, so it holds for every family; activations are counted by
running two layers of each kind on tensors that have shapes and no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from hf_config import PreTrainedConfig
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import (
    Attention,
    Block,
    Crossed,
    DecoderSpec,
    DualFfn,
    EncoderSpec,
    Ffn,
    FfnOnly,
    GatedMlp,
    Mixer,
    MixerOnly,
    ModelSpec,
    Moe,
    ScaledSandwich,
    Window,
)
from hf_modeling.weights.slots import find_slots
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.plan import ModelClass, outline

PROBE = 128
"""Tokens of the shorter of two sequences that activations are counted on."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFacts:
    """One layer.

    parameters: all of them. experts: those of them that belong to routed experts. matmul: weights that a token
    is multiplied by. attention: width of all query heads together, 0 without attention. keys: width of all key
    heads. visible: how far attention looks back; None: to the start. top_k: experts a token goes to, 0: none.
    """

    parameters: int
    experts: int
    matmul: int
    attention: int
    keys: int
    visible: int | None
    top_k: int

    @property
    def dense(self) -> int:
        """Parameters that are not those of routed experts."""
        return self.parameters - self.experts


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """A whole model: `width` of its stream, its layers, and the parameters around them."""

    width: int
    vocabulary: int
    blocks: tuple[BlockFacts, ...]
    embedding: int
    head: int
    other: int

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        return sum(block.parameters for block in self.blocks) + self.embedding + self.head + self.other

    @property
    def matmul(self) -> int:
        """Weights that a token is multiplied by, the output's among them."""
        return sum(block.matmul for block in self.blocks) + self.width * self.vocabulary

    def flops(self, seq: int) -> float:
        """Operations to train on one token of sequences of `seq`: 6 a weight, and 12 a score's feature (halved:
        half of the scores of a causal model are hidden)."""
        scores = sum(
            6 * block.attention * min(seq, block.visible or seq) * (1 if block.visible is None else 2)
            for block in self.blocks
        )
        return 6.0 * self.matmul + scores


def model_facts(cls: ModelClass, config: PreTrainedConfig) -> ModelFacts:
    """The facts of a model of `cls`. Reads no weights.

    Raises:
        LayoutMismatchError: the model is not one stack of layers.
    """
    spec = stack_of(cls, cls.family.spec(config))
    model = outline(cls, config, spec)
    slots, ties = find_slots(model)
    sizes = {
        name: slot.tensor.numel() for name, slot in slots.items() if name not in ties and slot.is_parameter
    }
    shapes = {name: slot.tensor.ndim for name, slot in slots.items()}
    prefix = "" if cls.task == "base" else "model."
    blocks = tuple(
        _block_facts(block, {n: s for n, s in sizes.items() if n.startswith(f"{prefix}layers.{i}.")}, shapes)
        for i, block in enumerate(spec.blocks)
    )
    embedding = sizes.get(f"{prefix}embed_tokens.weight", 0)
    head = sizes.get("lm_head.weight", 0)
    rest = sum(sizes.values()) - sum(block.parameters for block in blocks) - embedding - head
    return ModelFacts(
        width=spec.width,
        vocabulary=spec.embed.vocab,
        blocks=blocks,
        embedding=embedding,
        head=head,
        other=rest,
    )


def stack_of(cls: ModelClass, spec: ModelSpec) -> DecoderSpec | EncoderSpec:
    """The spec, if it is one stack. Raises LayoutMismatchError."""
    if isinstance(spec, DecoderSpec | EncoderSpec):
        return spec
    raise LayoutMismatchError(
        f"{cls.__name__} is not one stack of layers",
        [Problem(where=cls.__name__, rule="costs are known for one stack", instead="plan its decoder alone")],
        fix="plan a decoder or an encoder",
    )


def _block_facts(block: Block, sizes: Mapping[str, int], ndims: Mapping[str, int]) -> BlockFacts:
    mixer, ffn = mixer_of(block), ffn_of(block)
    moe = ffn.sparse if isinstance(ffn, DualFfn) else ffn if isinstance(ffn, Moe) else None
    experts = sum(size for name, size in sizes.items() if ".experts." in name)
    matrices = sum(size for name, size in sizes.items() if ndims[name] == 2 and ".experts." not in name)
    used = 0 if moe is None else round(experts * moe.top_k / moe.count)
    attention = mixer if isinstance(mixer, Attention) else None
    mask = None if attention is None else attention.mask
    return BlockFacts(
        parameters=sum(sizes.values()),
        experts=experts,
        matmul=matrices + used,
        attention=0 if attention is None else attention.heads * attention.head_dim,
        keys=0 if attention is None else attention.kv_heads * attention.head_dim,
        visible=mask.size if isinstance(mask, Window) else None,
        top_k=0 if moe is None else moe.top_k,
    )


def mixer_of(block: Block) -> Mixer | None:
    """The mixer of a block, if it has one."""
    match block:
        case ScaledSandwich(sandwich=inner):
            return inner.mixer
        case Crossed(block=inner):
            return inner.mixer
        case FfnOnly():
            return None
        case _:
            return block.mixer


def ffn_of(block: Block) -> Ffn | None:
    """The feed-forward network of a block, if it has one."""
    match block:
        case ScaledSandwich(sandwich=inner):
            return inner.ffn
        case Crossed(block=inner):
            return inner.ffn
        case MixerOnly():
            return None
        case _:
            return block.ffn


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """Bytes a token that backward needs of a layer: `stream` as wide as the model, `shared` out over ranks, and
    `scores` for each token that attention looks at, where it keeps its scores."""

    stream: float
    shared: float
    scores: float

    def total(self, seq: int) -> float:
        """All of them in a sequence of `seq` tokens."""
        return self.stream + self.shared + self.scores * seq


def saved_by(
    cls: ModelClass,
    config: PreTrainedConfig,
    spec: DecoderSpec | EncoderSpec,
    block: Block,
    dtype: torch.dtype,
) -> Saved:
    """What backward needs of one such layer, in bytes for each token.

    Routed experts count as one network as wide as those a token goes to. `block` may be a rank's share of a layer.
    """
    dense = _dense(block)
    (stream, short), (_, long) = (_per_token(cls, config, spec, dense, dtype, n) for n in (PROBE, 2 * PROBE))
    scores = max(0.0, (long - short) / PROBE)
    return Saved(stream=stream, shared=short - scores * PROBE, scores=scores)


def _per_token(
    cls: ModelClass,
    config: PreTrainedConfig,
    spec: DecoderSpec | EncoderSpec,
    block: Block,
    dtype: torch.dtype,
    tokens: int,
) -> tuple[float, float]:
    """Bytes a token of one layer, as wide as the model and others: what a second layer adds to the first."""
    one, two = (_trace(cls, config, replace(spec, blocks=(block,) * n), dtype, tokens) for n in (1, 2))
    return (two[0] - one[0]) / tokens, (two[1] - one[1]) / tokens


def _dense(block: Block) -> Block:
    """The block with routed experts taken for one network: how many tokens each gets is a number, not a shape."""
    match block:
        case FfnOnly(ffn=Moe() as moe):
            return replace(block, ffn=_merged(moe))
        case ScaledSandwich(sandwich=inner) if isinstance(inner.ffn, DualFfn):
            both = GatedMlp(
                width=inner.ffn.dense.width + inner.ffn.sparse.top_k * inner.ffn.sparse.width,
                activation=inner.ffn.dense.activation,
            )
            return replace(block, sandwich=replace(inner, ffn=both))
        case ScaledSandwich() | MixerOnly() | FfnOnly() | Crossed():
            return block
        case _ if isinstance(block.ffn, Moe):
            return replace(block, ffn=_merged(block.ffn))
        case _:
            return block


def _merged(moe: Moe) -> GatedMlp:
    width = moe.top_k * moe.width + (0 if moe.shared is None else moe.shared.width)
    return GatedMlp(width=width, activation="silu")


def _trace(
    cls: ModelClass,
    config: PreTrainedConfig,
    spec: DecoderSpec | EncoderSpec,
    dtype: torch.dtype,
    tokens: int,
) -> tuple[int, int]:
    """Bytes kept for backward by a forward pass over one sequence: as wide as the model, and others."""
    model = outline(cls, config, spec).train()
    kept: dict[int, tuple[int, bool]] = {}
    with FakeTensorMode():
        _fill(model, dtype)
        weights = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                kept[storage._cdata] = (storage.nbytes(), tensor.shape[-1:] == (spec.width,))
            return tensor

        ids = torch.ones(1, tokens, dtype=torch.long)
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model.get_submodule("" if cls.task == "base" else "model")(ids)
        del output
    stream = sum(size for size, wide in kept.values() if wide)
    return stream, sum(size for size, _ in kept.values()) - stream


def _fill(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Give a model tensors that have a shape and no numbers; used within a fake mode."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                kind = dtype if parameter.is_floating_point() else parameter.dtype
                module._parameters[name] = nn.Parameter(
                    torch.empty(parameter.shape, dtype=kind), parameter.requires_grad
                )
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
