"""From ids back to text, with a clear word about ids that do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

from hf_tokenize.engine import Engine
from hf_tokenize.errors import TokenIdError
from hf_tokenize.padding import SupportsToList

Ids: TypeAlias = "int | Sequence[int] | SupportsToList"
IdBatch: TypeAlias = "Sequence[Ids] | SupportsToList"


def as_ids(ids: Ids) -> list[int]:
    """One sequence of ids as a list, whatever holds it."""
    if isinstance(ids, list):
        return ids
    plain = ids.tolist() if isinstance(ids, SupportsToList) else ids
    if isinstance(plain, int):
        return [plain]
    return list(cast("Sequence[int]", plain))


def decode_batch(engine: Engine, batch: Sequence[list[int]], *, skip_special_tokens: bool) -> list[str]:
    """The text of each sequence. Raises TokenIdError."""
    try:
        return engine.decode(batch, skip_special_tokens=skip_special_tokens)
    except (OverflowError, TypeError):  # a negative id, or something that is not an id
        check_rows(engine, batch)
        raise TokenIdError(
            "the ids are not lists of int", fix="pass a list of int, or a list of such lists"
        ) from None


def check_rows(engine: Engine, batch: Sequence[list[int]]) -> None:
    """Refuses the first id of any row that no token has. Raises TokenIdError."""
    for row, ids in enumerate(batch):
        check_ids(engine, ids, where=f" of row {row}" if len(batch) > 1 else "")


def check_ids(engine: Engine, ids: Sequence[int], *, where: str = "") -> None:
    """Refuses the first id that no token has. Raises TokenIdError."""
    size = engine.sizes()[1]
    for position, id in enumerate(ids):
        if not isinstance(id, int):
            raise TokenIdError(
                f"position {position}{where} holds {id!r}, which is not a token id",
                fix="pass a list of int, or a list of such lists",
                position=position,
            )
        if not 0 <= id < 2**32 or (id >= size and engine.id_to_token(id) is None):
            raise TokenIdError(
                f"id {id} at position {position}{where} is outside the vocabulary of {size} tokens",
                fix="remove it (labels often hold -100), or use the tokenizer these ids were made with",
                id=id,
                position=position,
            )
