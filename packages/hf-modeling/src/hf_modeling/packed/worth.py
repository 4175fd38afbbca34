"""Which products are faster packed: a rule measured once, so that every load of a model decides alike.

Packing makes a product 1.1 to 2.3 times as fast at any number of rows, once the weights are large enough to pay
for the call into oneDNN, 8 microseconds more than a plain one. Measured with and without AVX-512, as processor
time, weights not in the cache, 1 to 256 rows: in float32 packed products of 147,000 weights break even between
one row and four, those of 65,000 at eight to sixteen rows; in bfloat16 both are faster from the first row on.
"""

from __future__ import annotations

from typing import Final

import torch

MEASURED: Final = ("AVX2", "AVX512")
"""Processors for which the rule was measured, as torch names them. On others layers stay as they are."""
NARROW: Final = 256
"""Fewer inputs or outputs than this leave too little to each row."""
FEWEST_WEIGHTS: Final = {torch.float32: 1 << 17, torch.bfloat16: 1 << 16, torch.float16: 1 << 16}


def is_worth_packing(inputs: int, outputs: int, dtype: torch.dtype) -> bool:
    """Whether a product of these sizes is faster packed on this processor.

    outputs: of all layers that share the input, which are packed as one.
    """
    return (
        torch.backends.cpu.get_cpu_capability() in MEASURED
        and min(inputs, outputs) >= NARROW
        and inputs * outputs >= FEWEST_WEIGHTS[dtype]
    )
