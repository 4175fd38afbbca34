"""The errors of training: what was wrong, and what to do about it.

```
HfError
├── ArgumentsError            arguments that contradict each other, .fields names them   (ValueError)
├── RemovedArgumentError      a name that no longer exists, with what replaces it         (TypeError)
├── TrainingDataError         data that cannot be trained on                              (ValueError)
│   ├── LabelRangeError       a label that the model has no output for                    (IndexError)
│   └── NoLabelsError         a step in which no token has a label                        (ValueError)
├── NonFiniteError            a loss or gradient that is not a number                     (ArithmeticError)
├── MetricError               a metric function that raised, or gave something else       (ValueError)
├── ResumeError               a checkpoint that does not fit this run                     (ValueError)
└── TrainingModelError        a model that gives no loss, or cannot be trained            (TypeError)
```
"""

from __future__ import annotations

from hf_hub_io.errors import HfError


class ArgumentsError(HfError, ValueError):
    """Training arguments that are out of range or contradict each other; `fields` names them."""

    def __init__(self, what: str, *, fields: tuple[str, ...], fix: str = "") -> None:
        self.fields = fields
        super().__init__(what, fix=fix)


class RemovedArgumentError(HfError, TypeError):
    """An argument that `transformers` once had and that nothing replaces one for one."""


class TrainingDataError(HfError, ValueError):
    """A dataset that is empty, has no length where one is needed, or has no column that the model takes."""


class LabelRangeError(TrainingDataError, IndexError):
    """A label outside the model's outputs."""


class NoLabelsError(TrainingDataError):
    """All labels of an optimizer step are -100, so that there is nothing to learn from."""


class NonFiniteError(HfError, ArithmeticError):
    """A loss or a gradient that is infinite or not a number; the weights were not touched.

    `step` is the optimizer step it happened in, `rows` the indices of the step's examples where they are known,
    `module` the first module that gave such a value, where one did.
    """

    def __init__(
        self, what: str, *, step: int, rows: tuple[int, ...] = (), module: str | None = None, fix: str = ""
    ) -> None:
        self.step, self.rows, self.module = step, rows, module
        super().__init__(what, fix=fix)


class MetricError(HfError, ValueError):
    """A metric function that raised, or returned something that is not named numbers."""


class ResumeError(HfError, ValueError):
    """A checkpoint whose state does not fit this run, so that going on would not be going on."""


class TrainingModelError(HfError, TypeError):
    """A model that cannot be trained as asked: it gives no loss, or has no parameter to train."""
