"""Trains the tiny Llama for a few steps and writes its gradients and weights: started by torchrun and accelerate."""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from hf_train import Trainer, TrainerCallback
from hf_train.testing import quiet, tiny_llama, token_rows, weights_of


class _StopAfter(TrainerCallback):
    """Saves and ends training after a step."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class _KeepGradients(TrainerCallback):
    """Copies the gradients of the first step."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        if not self.gradients:
            model = context["model"]
            self.gradients = {n: _whole(p.grad) for n, p in model.named_parameters() if p.grad is not None}


def _whole(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient.clone()


def main(arguments: list[str]) -> None:
    """Train as the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stop", type=int)
    parser.add_argument("--fsdp", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args = quiet(
        given.folder,
        per_device_train_batch_size=given.batch,
        gradient_accumulation_steps=given.accumulate,
        max_steps=given.steps,
        train_sampling_strategy="sequential",
        max_grad_norm=0.0,
        eval_strategy="steps",
        eval_steps=given.steps,
        fsdp=given.fsdp or None,
    )
    keep = _KeepGradients()
    rows = token_rows(64)
    trainer = Trainer(
        tiny_llama(),
        args,
        train_dataset=rows,
        eval_dataset=rows[:13],
        callbacks=[keep, _StopAfter(given.stop)],
    )
    trainer.train(resume_from_checkpoint=given.resume or None)
    history = trainer.state.log_history
    with trainer.strategy.whole(trainer.model_wrapped):
        weights = weights_of(trainer.model)
    if trainer.is_world_process_zero():
        found = {
            "gradients": keep.gradients,
            "weights": weights,
            "world": args.world_size,
            "history": history,
        }
        torch.save(found, given.folder / "found.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
