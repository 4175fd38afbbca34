"""Multi-head latent attention: what is remembered is one small vector per token, not keys and values.

Over many tokens keys and values are unfolded. One new token instead takes its queries into the latent space
and reads its values from there (the absorbed form of arXiv 2405.04434, section 2.1.2), so that a step touches
the latents only. Both forms are the same product in another order.

B batch, T new tokens, S visible tokens, D width, N heads, P features without position, R rotated features,
H = P + R, V features of values, C numbers of the latent, x = C + R as remembered, I heads of the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, final

import torch
from torch import Tensor, nn

from hf_modeling.cache import Append, Ring, State
from hf_modeling.layers.activation import PLAIN
from hf_modeling.layers.attend import Recording
from hf_modeling.layers.attention import Scoring, gated
from hf_modeling.layers.base import Layer, Linear, Mixer
from hf_modeling.layers.heads import Stage
from hf_modeling.layers.norm import LayerNormLayer
from hf_modeling.layers.rope import Rotary
from hf_modeling.masks import Mask, window_of

if TYPE_CHECKING:
    from hf_modeling.spec.latent import LatentAttention, OwnIndex
    from hf_modeling.step import Step

INDEX_NORM_EPS = 1e-6  # fixed by the method; no config carries it


class LatentNorms(NamedTuple):
    """Of the queries' latent, of that of keys and values, and of the shared rotated key."""

    query: Layer
    latent: Layer
    rope: Layer


@final
class LatentAttentionLayer(Mixer):
    """Latent attention, with an index over the keys that an index chose: its own `indexer`, or an earlier layer's.

    `query_stages` are applied in order to the projected heads.
    """

    scoring: Scoring

    def __init__(
        self,
        spec: LatentAttention,
        norms: LatentNorms,
        rotary: Rotary | None,
        scoring: Scoring,
        indexer: Indexer | None,
        width: int,
        layer: int,
    ) -> None:
        super().__init__()
        queries = spec.heads * (spec.nope_dim + spec.rope_dim)
        read = width
        if spec.query_rank is None:
            self.q_proj: Linear | None = Linear(width, queries)
        else:
            self.q_proj = None
            self.q_a_proj = Linear(width, spec.query_rank, bias=spec.bias)
            self.q_a_layernorm = norms.query
            read = spec.query_rank * (2 if spec.raw_queries else 1)
            self.q_b_proj = Linear(read, queries)
        self.kv_a_proj_with_mqa = Linear(width, spec.kv_rank + spec.rope_dim, bias=spec.bias)
        self.kv_a_layernorm, self.k_rope_norm = norms.latent, norms.rope
        self.kv_b_proj = Linear(spec.kv_rank, spec.heads * (spec.nope_dim + spec.value_dim))
        self.o_proj = Linear(spec.heads * spec.value_dim, width, bias=spec.bias)
        gates = 0 if spec.gate is None else spec.heads * (spec.value_dim if spec.gate.per == "feature" else 1)
        self.gate_proj = Linear(read if spec.raw_queries else width, gates) if gates else None
        self.gate_activation = PLAIN["sigmoid" if spec.gate is None else spec.gate.activation]
        self.indexer = indexer
        self.query_stages: tuple[Stage, ...] = ()
        self.rotary, self.scoring = rotary, scoring
        self.indexed = spec.index is not None
        self.query_multiplier, self.latent_multiplier = spec.query_multiplier, spec.latent_multiplier
        self.raw_queries = spec.raw_queries
        self.heads, self.layer = spec.heads, layer
        self.query_parts = [spec.nope_dim, spec.rope_dim]
        self.latent_parts = [spec.kv_rank, spec.rope_dim]
        self.unfolded_parts = [spec.nope_dim, spec.value_dim]
        self.states = _states(spec, indexer)

    def forward(self, x_BTD: Tensor, step: Step) -> Tensor:
        low_BTC, read_BTC, q_BTNx = self._queries(x_BTD)
        for stage in self.query_stages:
            q_BTNx = stage(q_BTNx, step)
        q_BTNP, q_BTNR = q_BTNx.split(self.query_parts, dim=-1)
        latent_BTC, k_BTR = self.kv_a_proj_with_mqa(x_BTD).split(self.latent_parts, dim=-1)
        latent_BTC, k_BT1R = self.kv_a_layernorm(latent_BTC), self.k_rope_norm(k_BTR).unsqueeze(2)
        if self.latent_multiplier != 1.0:
            latent_BTC = latent_BTC * self.latent_multiplier
        if self.rotary is not None:
            q_BTNR, k_BT1R = self.rotary.rotate(q_BTNR, step), self.rotary.rotate(k_BT1R, step)
        known_B1Sx = torch.cat((latent_BTC, k_BT1R.squeeze(2)), dim=-1).unsqueeze(1)
        if step.cache is not None:
            known_B1Sx = step.cache.extend(self.layer, "latent", known_B1Sx)
        mask = self._mask(x_BTD, low_BTC, step)
        dropout = self.scoring.dropout if self.training else 0.0
        run = self._absorbed if self._absorbs(step) else self._unfolded
        y_BTNV = run(q_BTNP, q_BTNR, known_B1Sx, mask, step, dropout)
        if self.gate_proj is not None:
            gate = self.gate_proj(read_BTC if self.raw_queries else x_BTD)
            y_BTNV = gated(y_BTNV, gate, None, self.gate_activation)
        return self.o_proj(y_BTNV.flatten(2))

    def _queries(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What an index reads (the queries' latent, or the input), what queries read, and the queries."""
        B, T, _ = x_BTD.shape
        if self.q_proj is not None:
            return x_BTD, x_BTD, self.q_proj(x_BTD).view(B, T, self.heads, -1)
        raw_BTC = self.q_a_proj(x_BTD)
        low_BTC = self.q_a_layernorm(raw_BTC)
        if self.query_multiplier != 1.0:
            low_BTC = low_BTC * self.query_multiplier
        read_BTC = torch.cat((low_BTC, raw_BTC), dim=-1) if self.raw_queries else low_BTC
        return low_BTC, read_BTC, self.q_b_proj(read_BTC).view(B, T, self.heads, -1)

    def _absorbs(self, step: Step) -> bool:
        """Whether this step is one new token, and the matrix to unfold by is at hand (not quantised or adapted)."""
        single = step.new == 1 and step.past > 0 and step.attentions is None
        return single and isinstance(self.kv_b_proj, Linear)

    def _mask(self, x_BTD: Tensor, low_BTC: Tensor, step: Step) -> Mask:
        mask = step.mask(self.scoring.rule)
        if self.indexer is not None:
            step.chosen = self.indexer(x_BTD, low_BTC, mask, step)
        chosen = step.chosen
        if chosen is None or not self.indexed:
            return mask
        allowed = mask.dense(chosen.shape[-2], chosen.shape[-1], chosen.device)
        if allowed is None or allowed.dtype is torch.bool:
            return Mask(chosen if allowed is None else allowed & chosen)
        return Mask(allowed.masked_fill(~chosen, float("-inf")))

    def _unfolded(
        self, q_BTNP: Tensor, q_BTNR: Tensor, known_B1Sx: Tensor, mask: Mask, step: Step, dropout: float
    ) -> Tensor:
        """Values mixed for each query, (B, T, N, V), by keys and values of every head."""
        latent_B1SC, k_B1SR = known_B1Sx.split(self.latent_parts, dim=-1)
        B, _, S, _ = latent_B1SC.shape
        unfolded = self.kv_b_proj(latent_B1SC.squeeze(1)).view(B, S, self.heads, -1).transpose(1, 2)
        k_BNSP, v_BNSV = unfolded.split(self.unfolded_parts, dim=-1)
        q_BNTH = torch.cat((q_BTNP, q_BTNR), dim=-1).transpose(1, 2)
        k_BNSH = torch.cat((k_BNSP, k_B1SR.expand(-1, self.heads, -1, -1)), dim=-1)
        scoring = self.scoring
        attend = scoring.attend if step.attentions is None else Recording(scoring.eager, step.attentions)
        return attend(q_BNTH, k_BNSH, v_BNSV, mask, None, None, dropout).transpose(1, 2)

    def _absorbed(
        self, q_B1NP: Tensor, q_B1NR: Tensor, known_B1Sx: Tensor, mask: Mask, step: Step, dropout: float
    ) -> Tensor:
        """The same for one token: its heads are so many queries of one key head, which is what is remembered."""
        latent_B1SC = known_B1Sx[..., : self.latent_parts[0]]
        unfold_NxC = self.kv_b_proj.weight.view(self.heads, -1, latent_B1SC.shape[-1])
        to_key_NPC, to_value_NVC = unfold_NxC.split(self.unfolded_parts, dim=1)
        q_BN1C = q_B1NP.transpose(1, 2) @ to_key_NPC
        q_B1Nx = torch.cat((q_BN1C.transpose(1, 2), q_B1NR), dim=-1)
        by_head = mask if mask.allowed is None else Mask(mask.allowed.transpose(1, 2))
        mixed_B1NC = self.scoring.attend(q_B1Nx, known_B1Sx, latent_B1SC, by_head, None, None, dropout)
        value_BN1V: Tensor = mixed_B1NC.transpose(1, 2) @ to_value_NVC.transpose(1, 2)
        return value_BN1V.transpose(1, 2)


@final
class Indexer(nn.Module):
    """Scores every earlier token by a small attention and chooses the best for each query."""

    def __init__(self, spec: OwnIndex, rotary: Rotary, width: int, query_width: int, layer: int) -> None:
        super().__init__()
        self.wq_b = Linear(query_width, spec.heads * spec.head_dim)
        self.wk = Linear(width, spec.head_dim)
        self.k_norm = LayerNormLayer(spec.head_dim, INDEX_NORM_EPS)
        self.weights_proj = Linear(width, spec.heads)
        self.rotary, self.layer = rotary, layer
        self.heads, self.head_dim, self.top_k = spec.heads, spec.head_dim, spec.top_k

    if TYPE_CHECKING:

        def __call__(self, x_BTD: Tensor, low_BTC: Tensor, mask: Mask, step: Step) -> Tensor | None: ...

    @torch.no_grad()
    def forward(self, x_BTD: Tensor, low_BTC: Tensor, mask: Mask, step: Step) -> Tensor | None:
        """Who each query may look at, (B, 1, T, S) bool; None while every key is among the best."""
        B, T, _ = x_BTD.shape
        q_BTIH = self.rotary.rotate(self.wq_b(low_BTC).view(B, T, self.heads, self.head_dim), step)
        k_BT1H = self.rotary.rotate(self.k_norm(self.wk(x_BTD)).unsqueeze(2), step)
        k_B1SH = k_BT1H.transpose(1, 2)
        if step.cache is not None:
            k_B1SH = step.cache.extend(self.layer, "index_key", k_B1SH)
        S = k_B1SH.shape[2]
        if self.top_k >= S:
            return None
        scores_BITS = (q_BTIH.transpose(1, 2).float() @ k_B1SH.float().transpose(-1, -2)).relu()
        weights_BTI = self.weights_proj(x_BTD.to(self.weights_proj.weight.dtype)).float()
        scaled_BTI = weights_BTI * (self.heads * self.head_dim) ** -0.5
        total_BTS = torch.einsum("bits,bti->bts", scores_BITS, scaled_BTI)
        allowed = mask.dense(T, S, x_BTD.device)
        if allowed is not None:
            hidden = ~allowed if allowed.dtype is torch.bool else allowed < 0
            total_BTS = total_BTS.masked_fill(hidden[:, 0], float("-inf"))
        best_BTK = total_BTS.topk(self.top_k, dim=-1).indices
        chosen_BTS = torch.zeros_like(total_BTS, dtype=torch.bool).scatter_(-1, best_BTK, True)
        return chosen_BTS.unsqueeze(1)


def _states(spec: LatentAttention, indexer: Indexer | None) -> Mapping[str, State]:
    """Latents with the rotated key behind them, of all tokens or of those in the window; and the index's keys."""
    window = window_of(spec.mask)
    sizes = {"latent": spec.kv_rank + spec.rope_dim}
    if indexer is not None:
        sizes["index_key"] = indexer.head_dim
    return {
        name: Append(heads=1, features=size)
        if window is None
        else Ring(heads=1, features=size, window=window)
        for name, size in sizes.items()
    }
