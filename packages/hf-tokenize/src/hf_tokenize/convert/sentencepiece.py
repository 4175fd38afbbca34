"""A SentencePiece `.model` as typed values. Field numbers are those of sentencepiece_model.proto."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeVar

from hf_tokenize.convert.protobuf import read_fields
from hf_tokenize.errors import TokenizerFileError

_Kind = TypeVar("_Kind", bound=enum.IntEnum)


class PieceKind(enum.IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class ModelKind(enum.IntEnum):
    """The segmentation algorithm."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True, kw_only=True, slots=True)
class SentencePieceModel:
    """What a `.model` file says about how to segment text; training options are left out.

    `unk_id` and the others are -1 where the model has no such piece. `charsmap` is the compiled normalisation
    table, empty for identity.
    """

    pieces: tuple[Piece, ...]
    kind: ModelKind = ModelKind.UNIGRAM
    byte_fallback: bool = False
    whitespace_as_suffix: bool = False
    unk_id: int = 0
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True

    def token(self, id: int) -> str | None:
        """The text of piece `id`; None for -1."""
        return self.pieces[id].text if 0 <= id < len(self.pieces) else None


def parse_sentencepiece(data: bytes, *, source: str) -> SentencePieceModel:
    """The model in the bytes of a `.model` file. Raises TokenizerFileError."""
    pieces: list[Piece] = []
    trainer: dict[int, int] = {}
    normalizer: dict[int, int] = {}
    charsmap = b""
    for number, value in read_fields(data, source=source):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            pieces.append(_piece(value, source))
        elif number == 2:
            trainer |= {n: _signed(v) for n, v in read_fields(value, source=source) if isinstance(v, int)}
        elif number == 3:
            for n, v in read_fields(value, source=source):
                if isinstance(v, int):
                    normalizer[n] = v
                elif n == 2 and isinstance(v, bytes):
                    charsmap = v
    if not pieces:
        raise TokenizerFileError(
            f"{source} has no pieces", fix=f"delete {source} and fetch it again", file=source
        )
    return SentencePieceModel(
        pieces=tuple(pieces),
        kind=_known(ModelKind, trainer.get(3, 1), "its algorithm", source),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
        byte_fallback=bool(trainer.get(35, 0)),
        unk_id=trainer.get(40, 0),
        bos_id=trainer.get(41, 1),
        eos_id=trainer.get(42, 2),
        pad_id=trainer.get(43, -1),
        charsmap=charsmap,
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        escape_whitespaces=bool(normalizer.get(5, 1)),
    )


def _piece(data: bytes, source: str) -> Piece:
    text, score, kind = "", 0.0, 1
    for number, value in read_fields(data, source=source):
        if number == 1 and isinstance(value, bytes):
            try:
                text = value.decode("utf-8")
            except UnicodeDecodeError:
                raise TokenizerFileError(
                    f"{source} has a piece that is not UTF-8: {value[:20]!r}",
                    fix=f"delete {source} and fetch it again",
                    file=source,
                ) from None
        elif number == 2 and isinstance(value, float):
            score = value
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, _known(PieceKind, kind, f"the type of piece {text!r}", source))


def _known(kinds: type[_Kind], value: int, what: str, source: str) -> _Kind:
    try:
        return kinds(value)
    except ValueError:
        raise TokenizerFileError(
            f"{source} gives {value} for {what}, which SentencePiece does not define",
            fix=f"delete {source} and fetch it again",
            file=source,
        ) from None


def _signed(value: int) -> int:
    # int32 fields hold negative numbers as 64-bit two's complement.
    return value - 2**64 if value >= 2**63 else value
