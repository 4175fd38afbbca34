"""Replacing layers by ones with packed weights, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hf_modeling.layers.base import Embedding, Linear
from hf_modeling.layers.embedding import ScaledEmbedding
from hf_modeling.layers.moe import GatedExpertsLayer, PlainExpertsLayer
from hf_quant.codec import Codec, Shape
from hf_quant.experts import QuantGatedExperts, QuantPlainExperts
from hf_quant.linear import QuantEmbedding, QuantExpertWeight, QuantLinear

if TYPE_CHECKING:
    from hf_modeling.weights.slots import Slot

MATRICES = ("gate_up_proj", "up_proj", "down_proj")
Quantized = QuantLinear | QuantEmbedding | QuantExpertWeight

CANNOT = "not the weight of a linear layer, of experts or of embeddings"


def why_not(slot: Slot) -> str:
    """Why the weight in this place cannot be packed there; empty if it can."""
    match slot.owner:
        case Linear() | Embedding() | ScaledEmbedding() if slot.name == "weight":
            return ""
        case GatedExpertsLayer() | PlainExpertsLayer() if slot.name in MATRICES:
            return ""
        case _:
            return CANNOT


def is_embedding(slot: Slot) -> bool:
    """Whether a slot holds a table of embeddings."""
    return isinstance(slot.owner, nn.Embedding)


def put_packed(
    model: nn.Module,
    slot: Slot,
    codec: Codec,
    parts: Mapping[str, Tensor],
    shape: Shape,
    dtype: torch.dtype,
) -> Quantized:
    """Replace the layer that owns a slot by one that holds the weight packed. Its bias stays."""
    path, owner = slot.path, slot.owner
    match owner:
        case Linear():
            linear = QuantLinear(codec, parts, shape, owner.bias, dtype)
            _replace(model, path, linear)
            return linear
        case ScaledEmbedding():
            table = QuantEmbedding(codec, parts, shape, dtype, scale=owner.scale, cast=owner.cast)
            _replace(model, path, table)
            return table
        case nn.Embedding():
            table = QuantEmbedding(codec, parts, shape, dtype)
            _replace(model, path, table)
            return table
        case _:
            matrices = QuantExpertWeight(codec, parts, shape, dtype)
            experts = _experts(model, path)
            del experts._parameters[slot.name]
            experts.add_module(slot.name, matrices)
            return matrices


def _experts(model: nn.Module, path: str) -> nn.Module:
    """The experts at `path`, of a kind whose matrices may be packed."""
    match model.get_submodule(path):
        case GatedExpertsLayer() as gated:
            made: nn.Module = QuantGatedExperts(gated)
        case PlainExpertsLayer() as plain:
            made = QuantPlainExperts(plain)
        case already:
            return already
    _replace(model, path, made)
    return made


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, Quantized]]:
    """Every layer with a packed weight, by name."""
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, QuantLinear | QuantEmbedding | QuantExpertWeight):
            yield name, module


def put_plain(model: nn.Module, dtype: torch.dtype) -> None:
    """Give every layer with a packed weight a plain one; layers that shared one share it again."""
    shared: dict[int, nn.Parameter] = {}
    for path, layer in list(quantized_layers(model)):
        first = next(iter(layer.parts().values()))
        weight = shared.get(id(first))
        if weight is None:
            weight = shared[id(first)] = nn.Parameter(layer.dequantize(dtype))
        _put_plain(model, path, layer, weight)


def _put_plain(model: nn.Module, path: str, layer: Quantized, weight: nn.Parameter) -> None:
    made: nn.Module
    match layer:
        case QuantLinear():
            made = Linear(layer.in_features, layer.out_features)
            made._parameters.update(weight=weight, bias=layer._parameters["bias"])
        case QuantEmbedding(num_embeddings=count, embedding_dim=width):
            made = (
                Embedding(count, width)
                if layer.scale is None
                else ScaledEmbedding(count, width, layer.scale, layer.cast, padding_id=None)
            )
            made._parameters["weight"] = weight
        case QuantExpertWeight():
            parent, name = _parent(model, path)
            del parent._modules[name]
            parent.register_parameter(name, weight)
            if isinstance(parent, QuantGatedExperts | QuantPlainExperts) and parent.is_plain:
                _replace(model, path.rpartition(".")[0], parent.plain())
            return
    _replace(model, path, made)


def _replace(model: nn.Module, path: str, made: nn.Module) -> None:
    parent, name = _parent(model, path)
    made.training = parent.training
    parent._modules[name] = made


def _parent(model: nn.Module, path: str) -> tuple[nn.Module, str]:
    above, _, name = path.rpartition(".")
    return model.get_submodule(above), name
