"""From token ids to the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedScale:
    """Embeddings times `value`, the factor first rounded to `cast` (the weight's dtype for Gemma)."""

    value: float
    cast: Literal["weight", "bfloat16", "float32"] = "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedPositions:
    """A trained vector per position; row = position + `offset`.

    `first` is the number that callers' `position_ids` have for the first position (RoBERTa's begin after its
    padding id).
    """

    count: int
    offset: int = 0
    first: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SinusoidPositions:
    """All sines, then all cosines, of (position + `offset`) / 10000^(j / steps) for pair j.

    "closed" takes steps = pairs - 1, so that the last wavelength is the longest (fairseq); "open" takes
    steps = pairs (CTRL).
    """

    range: Literal["closed", "open"]
    offset: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SinusoidTable:
    """The "open" sinusoids of `count` positions as a table; `saved` ones lie with the weights, and are not trained."""

    count: int
    saved: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CellPositions:
    """A trained vector per position, counted anew in each cell of a table: tokens of one column and row (TAPAS)."""

    count: int


Positions = CellPositions | LearnedPositions | SinusoidPositions | SinusoidTable


@dataclass(frozen=True, kw_only=True, slots=True)
class PerLayerEmbedding:
    """A second embedding that gives each layer `dim` features of the token, mixed with a projection of h."""

    vocab: int
    dim: int
    norm: Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class Types:
    """A trained vector for each value of one more input, `read` by its name."""

    read: Literal["task_type_ids", "langs"]
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxes:
    """Trained vectors for the four edges, the height and the width of each token's box on the page (LayoutLM).

    Read from `bbox` (B, T, 4): left, top, right, bottom, each below `count`.
    """

    count: int


Added = Types | Boxes


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeColumns:
    """Several segments for each token, `token_type_ids` (B, T, kinds), with as many trained vectors for each kind."""

    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Embed:
    """Token embeddings and what is added to them before the first block.

    `dim` is the table's width where it differs from the model's; a projection stands before or after what is
    added and normalised, as `projection` says. `token_types` is the number of segment embeddings; with 0
    segments are accepted and say nothing. `padding_id` names the row that starts at zero and gets no gradient.
    """

    vocab: int
    dim: int | None = None
    scale: EmbedScale | None = None
    positions: Positions | None = None
    token_types: int | TypeColumns | None = None
    added: tuple[Added, ...] = ()
    norm: Norm | None = None
    norm_at: Literal["end", "before_positions"] = "end"
    per_layer: PerLayerEmbedding | None = None
    padding_id: int | None = None
    dropout: float = 0.0
    projection: Literal["before", "after"] = "before"
    projection_bias: bool = False
