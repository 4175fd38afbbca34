"""In which precision a run computes: autocast, and the scale that keeps float16 gradients from vanishing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.amp.grad_scaler import GradScaler

from hf_train.errors import ArgumentsError

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How products are computed; weights, gradients and losses stay as they are."""

    dtype: torch.dtype | None
    device: str
    scaler: GradScaler | None = None

    def computing(self) -> AbstractContextManager[object]:
        """A block whose products are computed in `dtype`."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device, dtype=self.dtype)


def precision_of(args: TrainingArguments, device: torch.device) -> Precision:
    """The precision that the arguments ask for, or the launcher if they do not.

    Raises ArgumentsError if the two disagree, or the device cannot do it.
    """
    wanted = "bf16" if args.bf16 else "fp16" if args.fp16 else ""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched in ("bf16", "fp16"):
        if wanted and wanted != launched:
            raise ArgumentsError(
                f"{wanted} is set, and accelerate launch asks for {launched}",
                fields=(wanted,),
                fix=f"start with --mixed_precision {wanted}, or set {launched}=True",
            )
        wanted = launched
    if wanted == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ArgumentsError(
            "bf16 is set, and this GPU has no bfloat16", fields=("bf16",), fix="set fp16=True"
        )
    if wanted == "fp16":
        return Precision(dtype=torch.float16, device=device.type, scaler=GradScaler(device.type))
    return Precision(dtype=torch.bfloat16 if wanted else None, device=device.type)


@contextmanager
def machine_settings(args: TrainingArguments) -> Iterator[None]:
    """A block with the arguments' settings of torch (TF32, deterministic algorithms); they are put back after it."""
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        if args.tf32 is not None:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
        if args.full_determinism:
            # cuBLAS reads this when it starts; without it, deterministic algorithms refuse its products.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
