"""Why weights do not fit a model. Every message is whole: names, shapes, counts, and what to do.

```
WeightsError                    (hf_hub_io)
├── MissingWeightsError         the model needs tensors that the checkpoint lacks     (KeyError)
├── UnexpectedWeightsError      the checkpoint holds tensors that nothing claims      (KeyError)
├── ShapeMismatchError          a tensor has another shape than the model's           (ValueError)
├── AmbiguousWeightsError       two sets of tensors claim to be one weight            (ValueError)
├── NonFiniteWeightsError       NaN or infinity among the weights                     (ValueError)
├── UnsupportedDTypeError       an element type that torch, or this model, lacks      (TypeError)
├── UnsupportedFormatError      a weight file of a model that nothing here reads      (ValueError)
├── TiedWeightsError            weights that the config ties differ on disk           (ValueError)
└── QuantizerMissingError       quantized weights and no package to read them         (ImportError)
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from hf_hub_io.errors import WeightsError

SHOWN = 5
"""How many names of a kind an error prints; all of them are in its fields."""

_CANDIDATES = 2000  # nearest-name search is quadratic; beyond this it would be slower than loading


class MissingWeightsError(WeightsError, KeyError):
    """Tensors that the model needs and the checkpoint lacks, by their names in memory (`.names`)."""

    def __init__(
        self, missing: Mapping[str, tuple[str, ...]], *, where: str, unclaimed: Sequence[str] = ()
    ) -> None:
        self.names = tuple(missing)
        near = _nearest({name: spellings[0] for name, spellings in missing.items()}, unclaimed)
        lines = [
            f"  {name}{_on_disk(name, spellings)}{near.get(name, '')}"
            for name, spellings in islice(missing.items(), SHOWN)
        ]
        super().__init__(
            _listing(f"{where} lacks {_count(missing)} that the model needs", lines, len(missing)),
            fix="use the checkpoint this config belongs to, or let these start from random values: "
            f"allow_missing={_patterns(self.names)}",
        )


class UnexpectedWeightsError(WeightsError, KeyError):
    """Tensors that are in the checkpoint and have no place in the model (`.names`, as on disk)."""

    def __init__(self, names: Sequence[str], *, where: str) -> None:
        self.names = tuple(names)
        lines = [f"  {name}" for name in names[:SHOWN]]
        super().__init__(
            _listing(f"{where} holds {_count(names)} that the model has no place for", lines, len(names)),
            fix="use the model class and config this checkpoint was made with, or leave these out: "
            f"allow_unexpected={_patterns(self.names)}",
        )


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One tensor whose shape on disk (`found`) is not the model's (`needed`), or cannot be converted."""

    name: str
    disk: tuple[str, ...]
    found: tuple[int, ...]
    needed: tuple[int, ...]
    blame: str = ""


class ShapeMismatchError(WeightsError, ValueError):
    """Tensors of another shape than the model's (`.mismatches`), and config fields that may be wrong."""

    def __init__(self, mismatches: Sequence[Mismatch], *, where: str) -> None:
        self.mismatches = tuple(mismatches)
        lines = [
            f"  {m.name}: {list(m.found)} on disk, {list(m.needed)} in the model"
            + (f" (config: {m.blame})" if m.blame else "")
            for m in mismatches[:SHOWN]
        ]
        super().__init__(
            _listing(f"{where} has {_count(mismatches)} of the wrong shape", lines, len(mismatches)),
            fix="correct the config's fields, or use the checkpoint it belongs to",
        )


class AmbiguousWeightsError(WeightsError, ValueError):
    """Two sets of tensors in the checkpoint both claim to be `name`, and cannot both be."""

    def __init__(self, name: str, first: Sequence[str], second: Sequence[str], *, where: str) -> None:
        self.name = name
        self.sources = (tuple(first), tuple(second))
        super().__init__(
            f"{where} gives {name} twice: as {_few(first)} and as {_few(second)}",
            fix=f"leave one out: allow_unexpected={_patterns(tuple(second))}",
        )


class NonFiniteWeightsError(WeightsError, ValueError):
    """NaN or infinity in loaded weights (`.counts`: name to number of elements)."""

    def __init__(self, counts: Mapping[str, int], *, where: str) -> None:
        self.counts = dict(counts)
        lines = [f"  {name}: {count} elements" for name, count in islice(counts.items(), SHOWN)]
        super().__init__(
            _listing(f"{where} has {_count(counts)} with NaN or infinite values", lines, len(counts)),
            fix="fetch the checkpoint again; load it with check_finite=False to look at it as it is",
        )


class UnsupportedDTypeError(WeightsError, TypeError):
    """An element type that cannot be used here."""


class UnsupportedFormatError(WeightsError, ValueError):
    """A weight file that is found and whole, and whose contents nothing here can read."""

    def __init__(self, problem: str, *, file: Path) -> None:
        super().__init__(problem, fix="use the safetensors checkpoint of the same model", file=file)


class TiedWeightsError(WeightsError, ValueError):
    """The config says that two weights are one, and the checkpoint gives them different values."""

    def __init__(self, name: str, owner: str, *, where: str) -> None:
        self.name, self.owner = name, owner
        super().__init__(
            f"{where}: the config ties {name} to {owner}, and the two differ in the checkpoint",
            fix="load with tie_word_embeddings=False in config.json to keep both, or leave the copy out: "
            f'allow_unexpected=("{name}",)',
        )


class QuantizerMissingError(WeightsError, ImportError):
    """The checkpoint is quantized and nothing installed can read its method (`.method`)."""

    def __init__(self, method: str, *, where: str, known: Sequence[str] = ()) -> None:
        self.method = method
        have = f"; installed quantizers read {', '.join(sorted(known))}" if known else ""
        super().__init__(
            f"{where} is quantized with {method!r}, which no installed package reads{have}",
            fix="pip install hf-quant",
        )


def _count(names: Sequence[object] | Mapping[str, object]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"


def _few(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} tensors)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _listing(head: str, lines: list[str], total: int) -> str:
    more = [f"  and {total - SHOWN} more"] if total > SHOWN else []
    return "\n".join([head + ":", *lines, *more])


def _on_disk(name: str, spellings: tuple[str, ...]) -> str:
    return "" if spellings == (name,) else f" (on disk: {_few(spellings)})"


def _nearest(names: Mapping[str, str], candidates: Sequence[str]) -> dict[str, str]:
    """For each of the first few names, a hint at the most similar candidate."""
    pool = candidates[:_CANDIDATES]
    found = {
        name: get_close_matches(spelling, pool, n=1, cutoff=0.75)
        for name, spelling in islice(names.items(), SHOWN)
    }
    return {name: f" (did the checkpoint mean {close[0]}?)" for name, close in found.items() if close}


def _patterns(names: tuple[str, ...]) -> str:
    """The names as a tuple that can be pasted; cut where it would be long, and then visibly so."""
    quoted = [f'"{name}"' for name in names[:SHOWN]]
    if len(names) > SHOWN:
        quoted.append("...")
    return f"({', '.join(quoted)}{',' * (len(quoted) == 1)})"
