"""Training: what a Trainer costs beside the loop it runs, a step of a real shape, the memory of a loss, a save."""

import contextlib
import io
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from tools.bench import Case, Workload, material
from tools.bench.case import Setup
from tools.bench.cases.generate import tiny

STEPS = 200
"""Steps of the tiny model in one sample of `train-overhead`."""
WIDE = material.LLAMA_135M | {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
    "num_key_value_heads": 1, "vocab_size": 131072,
}  # fmt: skip
"""One small layer under a vocabulary of 128k: nearly all of a step's memory is that of the loss."""


def wide(folder: Path) -> None:
    """Fill `folder` with the model of `WIDE`."""
    material.write_llama(folder, 1, config=WIDE)


def side(name: str) -> tuple[Any, Any, Any]:
    """Model class, Trainer and arguments of one side."""
    if name == "ours":
        from hf_modeling import LlamaForCausalLM
        from hf_train import Trainer, TrainingArguments

        return LlamaForCausalLM, Trainer, TrainingArguments
    import transformers

    return transformers.LlamaForCausalLM, transformers.Trainer, transformers.TrainingArguments


def rows(count: int, length: int, vocabulary: int) -> list[dict[str, list[int]]]:
    """Random tokens, the same on both sides."""
    import torch

    ids = torch.randint(3, vocabulary, (count, length), generator=torch.Generator().manual_seed(0)).tolist()
    return [{"input_ids": row, "labels": row} for row in ids]


def trainer(name: str, folder: Path, data: list[dict[str, list[int]]], **settings: Any) -> Any:
    """A Trainer of one side over the checkpoint in `folder`."""
    model, make, arguments = side(name)
    args = arguments(
        tempfile.mkdtemp(), use_cpu=True, disable_tqdm=True, report_to="none",
        **{"save_strategy": "no", "logging_steps": 50, "learning_rate": 1e-4, **settings},
    )  # fmt: skip
    return make(model.from_pretrained(folder), args, train_dataset=data)


def trained(run: Any) -> float:
    """Seconds that training takes, without what it prints; the loss is in the run's state."""
    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run.train()
    return perf_counter() - start


def bare(model: Any, data: list[dict[str, list[int]]], batch: int, steps: int) -> float:
    """Seconds of the same steps in a plain loop: batch, forward, backward, clipping, AdamW, schedule."""
    import torch

    groups = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    start = perf_counter()
    for step in range(steps):
        first = step * batch % len(data)
        ids = torch.tensor([row["input_ids"] for row in data[first : first + batch]])
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(groups, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return perf_counter() - start


def overhead(name: str) -> Setup:
    """Seconds a step that a Trainer takes beyond a plain loop over the same model."""

    def setup(folder: Path) -> Workload:
        data = rows(512, 8, 256)
        trainer(name, folder, data, per_device_train_batch_size=2, max_steps=20).train()

        def workload() -> dict[str, float]:
            run = trainer(name, folder, data, per_device_train_batch_size=2, max_steps=STEPS)
            with_it = trained(run)
            without = bare(run.model, data, 2, STEPS)
            return {
                "seconds": max(with_it - without, 1e-6) / STEPS,
                "trainer": with_it / STEPS,
                "loop": without / STEPS,
                "check": run.state.log_history[0]["loss"],
            }

        return workload

    return setup


def step(name: str) -> Setup:
    """Seconds of one step of the 135M shape, 2 rows of 128 tokens, Trainer included."""

    def setup(folder: Path) -> Workload:
        data = rows(16, 128, 49152)

        def workload() -> dict[str, float]:
            run = trainer(name, folder, data, per_device_train_batch_size=2, max_steps=3, logging_steps=3)
            seconds = trained(run)
            return {"seconds": seconds / 3, "check": run.state.log_history[0]["loss"]}

        return workload

    return setup


def loss_memory(name: str) -> Setup:
    """A step over 2,048 tokens with a vocabulary of 128k; `bytes` is how far memory rose above where it began."""

    def setup(folder: Path) -> Workload:
        run = trainer(name, folder, rows(4, 1024, 131072), per_device_train_batch_size=2, max_steps=1, optim="sgd",
                      logging_steps=1)  # fmt: skip

        def workload() -> dict[str, float]:
            most = peak_of(lambda: trained(run))
            return {"bytes": most, "seconds": most / 2**30, "check": run.state.log_history[0]["loss"]}

        return workload

    return setup


def peak_of(work: Callable[[], object]) -> float:
    """Bytes of resident memory that `work` adds at its peak."""
    import psutil

    process = psutil.Process()
    before = most = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, process.memory_info().rss)
            sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return float(most - before)


def save(name: str) -> Setup:
    """Seconds that training waits for a checkpoint of the 135M shape: ours in the background, the peer's at once."""

    def setup(folder: Path) -> Workload:
        extra: dict[str, Any] = {"async_save": True} if name == "ours" else {}
        run = trainer(name, folder, rows(4, 16, 49152), per_device_train_batch_size=2, max_steps=1, **extra)
        trained(run)

        def workload() -> dict[str, float]:
            start = perf_counter()
            if name == "peer":
                run._save_checkpoint(run.model, None)
                return {"seconds": perf_counter() - start}
            run.save_checkpoint(run.run)
            blocked = perf_counter() - start
            run.writer.wait()
            return {"seconds": blocked, "whole": perf_counter() - start}

        return workload

    return setup


CASES = (
    Case(
        name="train-overhead",
        prepare=tiny,
        ours=overhead("ours"),
        peer=overhead("peer"),
        goal=10.0,
        samples=3,
    ),
    Case(
        name="train-135m-step",
        prepare=material.llama_135m,
        ours=step("ours"),
        peer=step("peer"),
        goal=1.1,
        samples=3,
    ),
    Case(
        name="train-loss-memory",
        prepare=wide,
        ours=loss_memory("ours"),
        peer=loss_memory("peer"),
        goal=3.0,
        samples=1,
        fresh=True,
    ),
    Case(
        name="train-async-save",
        prepare=material.llama_135m,
        ours=save("ours"),
        peer=save("peer"),
        goal=20.0,
        samples=3,
    ),
)
