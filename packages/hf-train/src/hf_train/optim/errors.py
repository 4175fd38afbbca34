"""What can be wrong with the choice of an optimizer."""

from __future__ import annotations

from hf_hub_io.errors import HfError


class OptimizerError(HfError, ValueError):
    """An optimizer that does not exist, or settings it cannot work with."""
