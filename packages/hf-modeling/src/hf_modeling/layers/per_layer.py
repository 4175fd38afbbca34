"""Per-layer embeddings and trained layer scales, as Gemma 3n and Gemma 4 have them.

B batch, T tokens, D width, L layers, P features of a layer's own embedding of a token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.layers.activation import Unary
from hf_modeling.layers.base import META, Embedding, Layer, Linear, Mixer, StepLayer
from hf_modeling.layers.block import Join

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class PerLayerEmbeddingLayer(nn.Module):
    """What each layer is told about each token: (own embedding + norm(projection of h)) / sqrt(2)."""

    def __init__(self, vocab: int, width: int, layers: int, features: int, norm: Layer) -> None:
        super().__init__()
        self.embed = Embedding(vocab, layers * features)
        self.projection = Linear(width, layers * features)
        self.norm = norm
        self.shape = (layers, features)
        self.embed_scale = features**0.5
        self.projection_scale = width**-0.5

    def forward(self, ids_BT: Tensor, h_BTD: Tensor) -> Tensor:
        own_BTLP = self.embed(ids_BT).view(*ids_BT.shape, *self.shape) * self.embed_scale
        projected_BTLP: Tensor = (self.projection(h_BTD) * self.projection_scale).view(own_BTLP.shape)
        mixed_BTLP: Tensor = (self.norm(projected_BTLP) + own_BTLP) / math.sqrt(2)
        return mixed_BTLP


@final
class PerLayerInputLayer(StepLayer):
    """h + norm(projection(activation(gate(h)) * e)) with e the token's embedding for this layer."""

    def __init__(self, width: int, features: int, layer: int, activation: Unary, norm: Layer) -> None:
        super().__init__()
        self.gate = Linear(width, features)
        self.projection = Linear(features, width)
        self.norm = norm
        self.layer = layer
        self.activation = activation

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        assert step.per_layer_BTLP is not None
        own_BTP = step.per_layer_BTLP[:, :, self.layer]
        return h_BTD + self.norm(self.projection(self.activation(self.gate(h_BTD)) * own_BTP))


@final
class ScaledSandwichLayer(StepLayer):
    """h + norm(mixer(norm(h))), h + norm(ffn(norm(h))), the per-layer input if any, all times `layer_scalar`."""

    layer_scalar: Tensor

    def __init__(
        self,
        mixer: Mixer,
        mixer_norm: Layer,
        mixer_output_norm: Layer,
        ffn: StepLayer,
        ffn_norm: Layer,
        ffn_output_norm: Layer,
        add_mixer: Join,
        add_ffn: Join,
        per_layer_input: PerLayerInputLayer | None,
    ) -> None:
        super().__init__()
        self.self_attn, self.mlp = mixer, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, mixer_output_norm
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = ffn_norm, ffn_output_norm
        self.add_mixer, self.add_ffn = add_mixer, add_ffn
        self.per_layer_input = per_layer_input
        # Not trained, so a buffer; it is part of the checkpoint.
        self.register_buffer("layer_scalar", torch.empty(1, device=META))

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        mixed_BTD = self.self_attn(self.input_layernorm(h_BTD), step)
        h_BTD = self.add_mixer(h_BTD, self.post_attention_layernorm(mixed_BTD))
        thought_BTD = self.mlp(self.pre_feedforward_layernorm(h_BTD), step)
        h_BTD = self.add_ffn(h_BTD, self.post_feedforward_layernorm(thought_BTD))
        if self.per_layer_input is not None:
            h_BTD = self.per_layer_input(h_BTD, step)
        return h_BTD * self.layer_scalar

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.layer_scalar)
