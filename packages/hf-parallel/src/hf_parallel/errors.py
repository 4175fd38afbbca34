"""What can be wrong with a layout, a launch or a model on a layout.

```
HfError                       (hf_hub_io)
├── LayoutError               a layout that cannot be, by itself                          (ValueError)
│   └── LayoutMismatchError   a layout that this model, batch or cluster cannot be split by
├── LaunchError               processes that were not started as a group                   (RuntimeError)
├── RanksDisagreeError        ranks that were given different things                       (RuntimeError)
├── CheckpointDamagedError    a training checkpoint that is not as it was written          (ValueError)
└── CheckpointMismatchError   a training checkpoint of another model, or of other state    (ValueError)
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_hub_io.errors import HfError


class LayoutError(HfError, ValueError):
    """A layout that cannot be: an unknown axis, a degree below one, or sizes that do not divide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One reason why a layout does not fit: the part of the model, the rule it breaks, and what would do."""

    where: str
    rule: str
    instead: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}; {self.instead}"


SHOWN = 8
"""How many problems an error prints; all of them are in `.problems`."""


class LayoutMismatchError(LayoutError):
    """A layout that this model or batch cannot be split by (`.problems`); found before any weight is read."""

    def __init__(self, what: str, problems: Sequence[Problem], *, fix: str) -> None:
        self.problems = tuple(problems)
        lines = [f"  {problem}" for problem in problems[:SHOWN]]
        more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__("\n".join([what, *lines, *more]), fix=fix)


class LaunchError(HfError, RuntimeError):
    """Processes that do not form a group, or not the one that the layout asks for."""


class RanksDisagreeError(HfError, RuntimeError):
    """Ranks of one run that were given different configs, layouts or files."""


class CheckpointDamagedError(HfError, ValueError):
    """A checkpoint that was never completed, or changed since; all ranks raise it alike."""


class CheckpointMismatchError(HfError, ValueError):
    """A checkpoint that holds other tensors than this model or optimizer has."""
