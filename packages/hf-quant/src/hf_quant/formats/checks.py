"""What every rounding refuses."""

from __future__ import annotations

from torch import Tensor

from hf_quant.errors import NonFiniteError, PackingError


def require_finite(scales: Tensor) -> None:
    """Raises NonFiniteError if scales say that the weights they were made from hold NaN or infinity.

    Largest magnitudes carry both over, so looking at one number for each group is enough.
    """
    if not bool(scales.isfinite().all()):
        raise NonFiniteError(
            f"the weight holds NaN or infinity ({int((~scales.isfinite()).sum())} of {scales.numel()} scales)",
            fix="repair the weight, or leave its module out of quantization",
        )


def require_multiple(size: int, of: int, what: str) -> None:
    """Raises PackingError unless `size`, which `what` names, divides into pieces of `of`."""
    if size <= 0 or size % of:
        raise PackingError(
            f"{what} is {size}, which does not divide into pieces of {of}",
            fix="leave the module out of quantization, or choose a format with smaller pieces",
        )
