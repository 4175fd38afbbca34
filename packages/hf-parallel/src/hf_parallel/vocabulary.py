"""The two ends of a model over `tp`: rows of the vocabulary on each rank, and the stream between them.

B batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from hf_modeling.layers.embedding import ScaledEmbedding, rounded
from hf_modeling.model import PreTrainedModel
from hf_modeling.step import Step
from hf_parallel.collectives import (
    parts_to_whole,
    same_to_parts,
    same_to_work,
    summands_to_parts,
    summands_to_same,
)
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.plan import Plan
from hf_parallel.wrap import Forward, around

TOKENS = 1
"""The axis of tokens in (B, T, D)."""


@final
class VocabularyEmbedding(nn.Module):
    """Some rows of a table of token embeddings; other rows give zeros, for a sum over ranks to fill in.

    num_embeddings: rows of the whole table; first: the number of the first own row.
    """

    def __init__(
        self,
        own: nn.Embedding,
        first: int,
        count: int,
        padding_id: int | None,
        group: ProcessGroup,
        *,
        join: bool,
    ) -> None:
        super().__init__()
        self.weight = own.weight
        self.num_embeddings, self.embedding_dim = count, own.embedding_dim
        self.first, self.group, self.join = first, group, join
        rows = own.weight.shape[0]
        inside = padding_id is not None and first <= padding_id < first + rows
        self.padding_idx = padding_id - first if inside and padding_id is not None else None
        self.scale = own.scale if isinstance(own, ScaledEmbedding) else None
        self.cast = own.cast if isinstance(own, ScaledEmbedding) else None

    def forward(self, ids: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and ids.numel():
            low, high = (int(bound) for bound in torch.aminmax(ids))
            if low < 0 or high >= self.num_embeddings:
                raise IndexError("token id outside of the vocabulary")
        rows = self.weight.shape[0]
        local = ids - self.first
        mine = (local >= 0) & (local < rows)
        made = F.embedding(local.clamp(0, rows - 1), self.weight, self.padding_idx) * mine.unsqueeze(-1)
        if self.scale is not None:
            made = made * rounded(self.scale, self.cast or made.dtype)
        return summands_to_same(made, self.group) if self.join else made


def join_vocabulary(
    model: PreTrainedModel,
    plan: Plan,
    group: ProcessGroup,
    *,
    sequence: bool,
    whole_logits: bool,
) -> None:
    """Join the token table and the head of a share to the other ranks', and cut the stream between them.

    sequence: the stream is cut along the sequence. whole_logits: every rank gets all logits.
    """
    base = "" if model.task == "base" else "model."
    table = f"{base}embed_tokens"
    split = {unit.path for unit in plan.units if unit.work == "vocabulary"}
    home = model if not base else model.get_submodule("model")
    plain = home._modules.get("stem") is None
    if table in split:
        own = model.get_submodule(table)
        assert isinstance(own, nn.Embedding), "tokens have a table"
        first = group.rank() * own.weight.shape[0]
        # With the stream cut along the sequence, the sum and the cut are one reduce-scatter, at the first layer.
        later = sequence and plain
        embedding = VocabularyEmbedding(own, first, plan.vocabulary, plan.padding_id, group, join=not later)
        home.add_module("embed_tokens", embedding)
    # Where logits follow the last norm at once, joining the stream and entering the head are one.
    between = (model._modules.get("lm_transform"), home._modules.get("project_out"))
    fused = "lm_head" in split and all(part is None for part in between)
    if sequence:
        _cut_stream(home, table in split and plain, fused, group)
    if "lm_head" in split:
        head = model.get_submodule("lm_head")
        entered = sequence and fused
        around(head, lambda inner: _joint_logits(inner, plan.vocabulary, group, whole_logits, entered))


def _cut_stream(home: nn.Module, summands: bool, fused: bool, group: ProcessGroup) -> None:
    """Cut the stream along the sequence before the first layer, and join it after the last norm."""
    layers = home.get_submodule("layers")
    assert isinstance(layers, nn.ModuleList), "a stack has layers"

    def first(inner: Forward) -> Forward:
        def forward(h_BTD: Tensor, step: Step, *others: object) -> Tensor:
            check_tokens(h_BTD.shape[TOKENS], group.size(), "the sequence")
            cut = summands_to_parts if summands else same_to_parts
            return inner(cut(h_BTD, TOKENS, group), step, *others)

        return forward

    around(layers[0], first)
    around(
        home.get_submodule("norm"),
        lambda inner: lambda h: parts_to_whole(inner(h), TOKENS, group, "summands" if fused else "same"),
    )


def _joint_logits(inner: Forward, count: int, group: ProcessGroup, whole: bool, entered: bool) -> Forward:
    def forward(h: Tensor) -> Tensor:
        logits = inner(h if entered else same_to_work(h, group))
        if not whole:
            return logits
        # Not a view: FSDP hangs its backward hook on what the model returns.
        return parts_to_whole(logits, -1, group, "same")[..., :count].contiguous()

    return forward


def check_tokens(tokens: int, ways: int, where: str) -> None:
    """Raises LayoutMismatchError for tokens that ranks cannot share out evenly."""
    if tokens % ways:
        raise LayoutMismatchError(
            f"{tokens} tokens do not fall evenly on tp={ways}",
            [Problem(where=where, rule="tokens are shared out", instead=f"pad to a multiple of {ways}")],
            fix=f"pad sequences to a multiple of {ways}, for example with pad_to_multiple_of={ways}",
        )
