"""Unigram: of all ways to cut a text into pieces, the one whose scores add up highest (Viterbi's algorithm)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_UNKNOWN_PENALTY = 10.0  # an unknown character scores this much below the worst piece


@dataclass(frozen=True, kw_only=True)
class Unigram:
    """Pieces with their log probabilities; ids are places in the list.

    `unk_id`: the piece for characters that no piece covers; runs of them become one. `byte_fallback`: such
    characters become their UTF-8 bytes, written `<0x41>`, where the vocabulary has them all.
    """

    pieces: Sequence[tuple[str, float]]
    unk_id: int
    byte_fallback: bool = False

    def tokenize(self, text: str) -> list[str]:
        """The best pieces of one pre-token; unknown characters as they are."""
        score = dict(self.pieces)
        longest = max(map(len, score), default=1)
        worst = min(score.values()) - _UNKNOWN_PENALTY
        # best[i]: the highest sum for the first i characters, and where its last piece begins
        best: list[tuple[float, int]] = [(0.0, 0)]
        for stop in range(1, len(text) + 1):
            choices = [
                (best[start][0] + score[piece], start)
                for start in range(max(0, stop - longest), stop)
                if (piece := text[start:stop]) in score
            ]
            if not any(start == stop - 1 for _, start in choices):
                choices.append((best[stop - 1][0] + worst, stop - 1))
            best.append(max(choices, key=lambda choice: (choice[0], -choice[1])))
        pieces: list[str] = []
        stop = len(text)
        while stop > 0:
            start = best[stop][1]
            pieces.append(text[start:stop])
            stop = start
        return self._join_unknown(pieces[::-1], score)

    def _join_unknown(self, pieces: list[str], score: dict[str, float]) -> list[str]:
        joined: list[str] = []
        for piece in pieces:
            if joined and piece not in score and joined[-1] not in score:
                joined[-1] += piece
            else:
                joined.append(piece)
        return joined

    def encode(self, text: str) -> list[int]:
        """The ids of the best pieces of one pre-token."""
        ids = {piece: id for id, (piece, _) in enumerate(self.pieces)}
        found: list[int] = []
        for piece in self.tokenize(text):
            in_bytes = [ids.get(f"<0x{byte:02X}>") for byte in piece.encode("utf-8")]
            if piece in ids:
                found.append(ids[piece])
            elif self.byte_fallback and None not in in_bytes:
                found += [id for id in in_bytes if id is not None]
            else:
                found.append(self.unk_id)
        return found
