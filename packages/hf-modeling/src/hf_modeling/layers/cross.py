"""Attention to an encoder's states, and the blocks that have it.

A rows of the encoder, B of the decoder (B = A * copies), T new tokens, S tokens of the encoder, D width, N heads,
H features of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from torch import Tensor

from hf_modeling.cache import Once, State
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Layer, Linear, Mixer, StepLayer, together
from hf_modeling.layers.block import Join
from hf_modeling.source import absent_source, copies_of

if TYPE_CHECKING:
    from hf_modeling.step import Step


@final
class CrossAttentionLayer(Mixer):
    """Attention of every token to the encoder's; its keys and values are made once and remembered.

    Rows that read one text (beams) share its keys and values: their queries are laid in a row.
    """

    scoring: Scoring

    def __init__(
        self,
        width: int,
        source_width: int,
        heads: int,
        head_dim: int,
        layer: int,
        scoring: Scoring,
        *,
        qkv_bias: bool,
        output_bias: bool,
    ) -> None:
        super().__init__()
        self.q_proj = Linear(width, heads * head_dim, bias=qkv_bias)
        self.k_proj = Linear(source_width, heads * head_dim, bias=qkv_bias)
        self.v_proj = Linear(source_width, heads * head_dim, bias=qkv_bias)
        self.o_proj = Linear(heads * head_dim, width, bias=output_bias)
        self.heads, self.layer, self.scoring = heads, layer, scoring
        state = Once(heads=heads, features=head_dim)
        self.states: Mapping[str, State] = {"cross_key": state, "cross_value": state}

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        source = step.source
        assert source is not None, "blocks leave this layer out where there is nothing to read"
        k_ANSH, v_ANSH = self._keys_values(step)
        B, T, _ = x_BTD.shape
        A, N = k_ANSH.shape[0], self.heads
        copies = 1 if A == B else copies_of(B, A)
        q_ANMH = self.q_proj(x_BTD).view(A, copies * T, N, -1).transpose(1, 2)
        scoring, record = self.scoring, step.cross_attentions
        dropout = scoring.dropout if self.training else 0.0
        weights: list[Tensor] = []
        attend = scoring.attend if record is None else Recording(scoring.eager, weights)
        mixed_ANMH = attend(q_ANMH, k_ANSH, v_ANSH, source.mask, None, None, dropout)
        if record is not None:
            apart = weights[0].unflatten(2, (copies, T)).transpose(1, 2)
            record.append(apart.flatten(0, 1))
        return self.o_proj(mixed_ANMH.transpose(1, 2).reshape(B, T, -1))

    def _keys_values(self, step: Step) -> tuple[Tensor, Tensor]:
        """Keys and values (A, N, S, H) of the encoder's tokens: remembered, or made and remembered."""
        cache = step.cache
        if cache is not None:
            k_ANSH, v_ANSH = cache.get(self.layer, "cross_key"), cache.get(self.layer, "cross_value")
            if k_ANSH is not None and v_ANSH is not None:
                return k_ANSH, v_ANSH
        if step.source is None or step.source.states_ASD is None:
            raise absent_source()
        k_ASE, v_ASE = together(step.source.states_ASD, self.k_proj, self.v_proj)
        k_ANSH, v_ANSH = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (k_ASE, v_ASE))
        if cache is not None:
            cache.put(self.layer, "cross_key", k_ANSH)
            cache.put(self.layer, "cross_value", v_ANSH)
        return k_ANSH, v_ANSH


@final
class CrossedPreNormLayer(StepLayer):
    """h + mixer(norm(h)), then h + cross(norm(h)), then h + ffn(norm(h))."""

    def __init__(
        self,
        mixer: Mixer,
        mixer_norm: Layer,
        ffn: StepLayer,
        ffn_norm: Layer,
        add_mixer: Join,
        add_ffn: Join,
        cross: CrossAttentionLayer,
        cross_norm: Layer,
        add_cross: Join,
    ) -> None:
        super().__init__()
        self.self_attn, self.cross_attn, self.mlp = mixer, cross, ffn
        self.input_layernorm, self.post_attention_layernorm = mixer_norm, ffn_norm
        self.cross_attention_layernorm = cross_norm
        self.add_mixer, self.add_cross, self.add_ffn = add_mixer, add_cross, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        h_BTD = self.add_mixer(h_BTD, self.self_attn(self.input_layernorm(h_BTD), step))
        if step.source is not None:
            h_BTD = self.add_cross(h_BTD, self.cross_attn(self.cross_attention_layernorm(h_BTD), step))
        return self.add_ffn(h_BTD, self.mlp(self.post_attention_layernorm(h_BTD), step))


@final
class CrossedNormedSumLayer(StepLayer):
    """norm(h + mixer(h)), then norm(h + cross(h)), then norm(h + ffn(h))."""

    def __init__(
        self,
        mixer: Mixer,
        mixer_norm: Layer,
        ffn: StepLayer,
        ffn_norm: Layer,
        add_mixer: Join,
        add_ffn: Join,
        cross: CrossAttentionLayer,
        cross_norm: Layer,
        add_cross: Join,
    ) -> None:
        super().__init__()
        self.self_attn, self.cross_attn, self.mlp = mixer, cross, ffn
        self.post_attention_layernorm, self.post_feedforward_layernorm = mixer_norm, ffn_norm
        self.cross_attention_layernorm = cross_norm
        self.add_mixer, self.add_cross, self.add_ffn = add_mixer, add_cross, add_ffn

    def forward(self, h_BTD: Tensor, step: Step) -> Tensor:
        h_BTD = self.post_attention_layernorm(self.add_mixer(h_BTD, self.self_attn(h_BTD, step)))
        if step.source is not None:
            h_BTD = self.cross_attention_layernorm(self.add_cross(h_BTD, self.cross_attn(h_BTD, step)))
        return self.post_feedforward_layernorm(self.add_ffn(h_BTD, self.mlp(h_BTD, step)))
