"""Token and position embeddings. B batch, T tokens, D width, P positions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.inputs import beyond_positions, not_columns, outside_page, unknown_segments
from hf_modeling.layers.base import META, Embedding, Layer, Linear

if TYPE_CHECKING:
    from hf_modeling.step import Step

SINUSOID_BASE = 10_000.0


@final
class ScaledEmbedding(nn.Embedding):
    """Embeddings times a constant, which is first rounded to a dtype: the weight's if none is given."""

    def __init__(
        self, count: int, width: int, scale: float, cast: torch.dtype | None, *, padding_id: int | None
    ) -> None:
        super().__init__(count, width, padding_idx=padding_id, device=META)
        self.scale, self.cast = scale, cast

    def reset_parameters(self) -> None:
        """Nothing: weights are loaded, or set by `init.initialize`."""

    if TYPE_CHECKING:

        def __call__(self, ids: Tensor) -> Tensor: ...

    def forward(self, ids: Tensor) -> Tensor:
        embedded = super().forward(ids)
        return embedded * rounded(self.scale, self.cast or embedded.dtype)


@cache
def rounded(value: float, dtype: torch.dtype) -> float:
    """`value` as `dtype` holds it."""
    return float(torch.tensor(value, dtype=dtype, device="cpu"))


class PositionLayer(nn.Module):
    """Vectors (B or 1, T, D) for a step's positions."""

    if TYPE_CHECKING:

        def __call__(self, step: Step, dtype: torch.dtype) -> Tensor: ...


@final
class LearnedPositionsLayer(PositionLayer):
    """A trained vector for each position, found `offset` rows further down."""

    def __init__(self, count: int, width: int, offset: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width, device=META))
        self.offset = offset

    def forward(self, step: Step, dtype: torch.dtype) -> Tensor:
        return rows_of(self.weight, step, self.offset)

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


@final
class SinusoidPositionsLayer(PositionLayer):
    """All sines, then all cosines, of position / 10000^(j / steps); an odd width ends in a zero."""

    def __init__(self, width: int, steps: float, offset: int) -> None:
        super().__init__()
        self.width, self.steps, self.offset = width, steps, offset

    def forward(self, step: Step, dtype: torch.dtype) -> Tensor:
        positions_BT1 = (step.positions_BT + self.offset)[..., None].float()
        exponents_J = torch.arange(self.width // 2, device=step.device) / self.steps
        angles_BTJ = positions_BT1 * SINUSOID_BASE**-exponents_J
        table_BTD = torch.cat((angles_BTJ.sin(), angles_BTJ.cos()), dim=-1)
        return nn.functional.pad(table_BTD, (0, self.width % 2)).to(dtype)


@final
class SinusoidTableLayer(PositionLayer):
    """All sines, then all cosines, of position / 10000^(2j / D), as a table; checkpoints hold it if it is `saved`."""

    def __init__(self, count: int, width: int, *, saved: bool) -> None:
        super().__init__()
        self.register_buffer("weight", sinusoids(count, width), persistent=saved)

    if TYPE_CHECKING:
        weight: Tensor

    def forward(self, step: Step, dtype: torch.dtype) -> Tensor:
        return rows_of(self.weight, step, 0).to(dtype)


def sinusoids(count: int, width: int) -> Tensor:
    """The table (count, D), worked out in float64."""
    positions_P1 = torch.arange(count, dtype=torch.float64, device="cpu")[:, None]
    exponents_D = torch.arange(width, device="cpu") // 2 * (2 / width)
    angles_PD = positions_P1 / SINUSOID_BASE ** exponents_D.double()
    return torch.cat((angles_PD[:, 0::2].sin(), angles_PD[:, 1::2].cos()), dim=1).float()


def rows_of(weight_PD: Tensor, step: Step, offset: int) -> Tensor:
    """The rows of a table of positions, (B or 1, T, D), `offset` further down.

    Raises:
        InputError: a position beyond the table.
    """
    count = weight_PD.shape[0]
    if step.offset is not None:
        first = step.offset + offset
        if first + step.new > count:
            raise beyond_positions(step.offset + step.new, count - offset)
        return weight_PD[None, first : first + step.new]
    return weight_PD[step.positions_BT + offset]


@final
class TokenTypesLayer(nn.Module):
    """A trained vector for each segment."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width, device=META))

    if TYPE_CHECKING:

        def __call__(self, token_type_ids: Tensor | None) -> Tensor: ...

    def forward(self, token_type_ids: Tensor | None) -> Tensor:
        """(B, T, D) for ids (B, T); without ids the first segment's vector, which fits any shape."""
        return self.weight[0] if token_type_ids is None else self.weight[token_type_ids]

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


@final
class TypeColumnsLayer(nn.Module):
    """Trained vectors for several segments of each token, summed."""

    def __init__(self, counts: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(TokenTypesLayer(count, width) for count in counts)

    if TYPE_CHECKING:

        def __call__(self, token_type_ids: Tensor | None) -> Tensor: ...

    def forward(self, token_type_ids: Tensor | None) -> Tensor:
        """(B, T, D) for ids (B, T, kinds); without ids the first segments' vectors, which fit any shape."""
        if token_type_ids is not None and token_type_ids.shape[2:] != (len(self.tables),):
            raise not_columns(token_type_ids, len(self.tables))
        columns = None if token_type_ids is None else token_type_ids.unbind(-1)
        parts = [table(None if columns is None else columns[kind]) for kind, table in enumerate(self.tables)]
        return torch.stack(parts).sum(0)


@final
class CellPositionsLayer(PositionLayer):
    """A trained vector for each position within a cell, or within the question; the last one beyond the table."""

    COLUMN, ROW, ROWS = 1, 2, 1 << 16

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width, device=META))

    def forward(self, step: Step, dtype: torch.dtype) -> Tensor:
        given, types_BTK = step.more.get("position_ids"), step.more.get("token_type_ids")
        if given is not None:
            return self.weight[given]
        order_BT = step.positions_BT.expand(step.batch, -1)
        if types_BTK is not None:
            cell_BT = types_BTK[..., self.COLUMN] * self.ROWS + types_BTK[..., self.ROW]
            same_BTT = cell_BT[:, :, None] == cell_BT[:, None, :]
            if step.new_valid_BT is not None:
                same_BTT = same_BTT & step.new_valid_BT[:, None, :]
            # Each token's distance from the first of its cell; padding, which has none, counts from itself.
            order_BT = order_BT - torch.where(same_BTT, order_BT[:, None, :], order_BT[:, :, None]).amin(-1)
        return self.weight[order_BT.clamp(max=self.weight.shape[0] - 1)]

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


class AddedLayer(nn.Module):
    """Vectors (B, T, D) for an input that some family has beside its token ids, found in `step.more`.

    reads: the input's name. One that is not given counts as zeros.
    """

    reads: str

    if TYPE_CHECKING:

        def __call__(self, step: Step) -> Tensor: ...


@final
class TypesLayer(AddedLayer):
    """A trained vector for each value of the input."""

    def __init__(self, reads: str, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width, device=META))
        self.reads = reads

    def forward(self, step: Step) -> Tensor:
        ids_BT = step.more.get(self.reads)
        return self.weight[0] if ids_BT is None else self.weight[ids_BT]

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


@final
class BoxesLayer(AddedLayer):
    """Trained vectors for left, top, right, bottom, height and width of each token's box, summed."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.x = Embedding(count, width)
        self.y = Embedding(count, width)
        self.h = Embedding(count, width)
        self.w = Embedding(count, width)
        self.reads = "bbox"

    def forward(self, step: Step) -> Tensor:
        bbox_BT4 = step.more.get(self.reads)
        if bbox_BT4 is None:
            bbox_BT4 = torch.zeros(step.batch, step.new, 4, dtype=torch.long, device=step.device)
        try:
            left, top, right, bottom = bbox_BT4.unbind(-1)
            edges = self.x(left) + self.y(top) + self.x(right) + self.y(bottom)
            return edges + self.h(bottom - top) + self.w(right - left)
        except (IndexError, ValueError):
            raise outside_page(bbox_BT4, self.x.num_embeddings) from None


@final
class Stem(nn.Module):
    """What embeddings pass through before the first block: projection, segments, positions, norm, dropout.

    Each part is None where the family has none; a family that has none of them has no stem. `added` is what
    further inputs add; `ignores_types` says that segments are accepted where there is no vector for them; with
    `positions_last` positions come after the norm.
    """

    def __init__(
        self,
        project_in: Linear | None,
        token_types: TokenTypesLayer | TypeColumnsLayer | None,
        positions: PositionLayer | None,
        norm: Layer | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.project_in, self.token_types, self.positions = project_in, token_types, positions
        self.norm, self.dropout = norm, dropout
        self.project_out: Linear | None = None
        self.added = nn.ModuleList()
        self.ignores_types = False
        self.positions_last = False

    if TYPE_CHECKING:

        def __call__(self, h_BTD: Tensor, token_type_ids: Tensor | None, step: Step) -> Tensor: ...

    def forward(self, h_BTD: Tensor, token_type_ids: Tensor | None, step: Step) -> Tensor:
        if self.project_in is not None:
            h_BTD = self.project_in(h_BTD)
        if self.token_types is not None:
            h_BTD = h_BTD + self.token_types(token_type_ids)
        elif token_type_ids is not None and not self.ignores_types:
            raise unknown_segments()
        for added in self.added:
            h_BTD = h_BTD + added(step)
        if self.norm is not None and self.positions_last:
            h_BTD = self.norm(h_BTD)
        if self.positions is not None:
            h_BTD = h_BTD + self.positions(step, h_BTD.dtype)
        if self.norm is not None and not self.positions_last:
            h_BTD = self.norm(h_BTD)
        h_BTD = nn.functional.dropout(h_BTD, self.dropout, self.training)
        return h_BTD if self.project_out is None else self.project_out(h_BTD)
