"""How fast a run is, and how much it has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hf_train.run import Run
    from hf_train.trainer import Trainer


def speed(
    split: str,
    seconds: float,
    *,
    rows: float | None = None,
    steps: float | None = None,
    tokens: float | None = None,
) -> dict[str, float]:
    """`{split}_runtime` in seconds, and rows, steps and tokens per second under the peer's names."""
    result = {f"{split}_runtime": round(seconds, 4)}
    counts = {"samples": rows, "steps": steps, "tokens": tokens}
    for name, count in counts.items():
        if count is not None and seconds > 0:
            result[f"{split}_{name}_per_second"] = round(count / seconds, 3)
    return result


def count_tokens(trainer: Trainer, run: Run, batches: Sequence[Mapping[str, Any]]) -> None:
    """Add the step's tokens to the state, if they are counted, and its floating-point operations to the run."""
    name = trainer.main_input_name
    tokens = sum(batch[name].numel() for batch in batches if isinstance(batch.get(name), Tensor))
    run.model_flops += 6.0 * tokens * trainer.inner_parameters
    counting = trainer.args.include_num_input_tokens_seen
    if counting == "no":
        return
    if counting == "non_padding":
        tokens = sum(_real_tokens(batch, name, trainer.pad_token_id) for batch in batches)
    if trainer.strategy.world > 1:
        tokens = int(trainer.strategy.total(torch.tensor(tokens)).item())
    trainer.state.num_input_tokens_seen += tokens


def _real_tokens(batch: Mapping[str, Any], name: str, pad: int | None) -> int:
    mask, ids = batch.get("attention_mask"), batch.get(name)
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return int(mask.sum())
    if not isinstance(ids, Tensor):
        return 0
    return ids.numel() if pad is None else int((ids != pad).sum())
