"""`TrainingArguments` changed topic by topic. Each returns new arguments; those given are left as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from hf_train.arguments.values import HubStrategy, Interval, Options, Sampling, TokenCount

if TYPE_CHECKING:
    from hf_train.arguments.training import TrainingArguments

A = TypeVar("A", bound="TrainingArguments")


def set_training(
    args: A,
    learning_rate: float = 5e-5,
    batch_size: int = 8,
    weight_decay: float = 0.0,
    num_epochs: float = 3,
    max_steps: int = -1,
    gradient_accumulation_steps: int = 1,
    seed: int = 42,
    activation_checkpointing: bool = False,
) -> A:
    """The arguments with these of training, and with `do_train`."""
    return args.replace(
        do_train=True,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        weight_decay=weight_decay,
        num_train_epochs=num_epochs,
        max_steps=max_steps,
        gradient_accumulation_steps=gradient_accumulation_steps,
        seed=seed,
        activation_checkpointing=activation_checkpointing,
    )


def set_evaluate(
    args: A,
    strategy: Interval = "no",
    steps: float = 500,
    batch_size: int = 8,
    accumulation_steps: int | None = None,
    delay: float = 0,
    loss_only: bool = False,
) -> A:
    """The arguments with these of evaluation."""
    return args.replace(
        eval_strategy=strategy,
        eval_steps=steps if strategy == "steps" else args.eval_steps,
        do_eval=strategy != "no",
        per_device_eval_batch_size=batch_size,
        eval_accumulation_steps=accumulation_steps,
        eval_delay=delay,
        prediction_loss_only=loss_only,
    )


def set_testing(args: A, batch_size: int = 8, loss_only: bool = False) -> A:
    """The arguments with these of prediction, and with `do_predict`."""
    return args.replace(
        do_predict=True, per_device_eval_batch_size=batch_size, prediction_loss_only=loss_only
    )


def set_save(
    args: A,
    strategy: Interval = "steps",
    steps: float = 500,
    total_limit: int | None = None,
    on_each_node: bool = False,
) -> A:
    """The arguments with these of saving."""
    return args.replace(
        save_strategy=strategy,
        save_steps=steps if strategy == "steps" else args.save_steps,
        save_total_limit=total_limit,
        save_on_each_node=on_each_node,
    )


def set_logging(
    args: A,
    strategy: Interval = "steps",
    steps: float = 500,
    report_to: str | Sequence[str] = "none",
    level: str = "passive",
    first_step: bool = False,
    on_each_node: bool = True,
    replica_level: str = "passive",
    token_count: TokenCount = "no",
) -> A:
    """The arguments with these of logging."""
    return args.replace(
        logging_strategy=strategy,
        logging_steps=steps if strategy == "steps" else args.logging_steps,
        report_to=report_to,
        log_level=level,
        logging_first_step=first_step,
        log_on_each_node=on_each_node,
        log_level_replica=replica_level,
        include_num_input_tokens_seen=token_count,
    )


def set_push_to_hub(
    args: A,
    model_id: str,
    strategy: HubStrategy = "every_save",
    token: str | None = None,
    private_repo: bool | None = None,
    always_push: bool = False,
    revision: str | None = None,
) -> A:
    """The arguments with uploads to `model_id`."""
    return args.replace(
        push_to_hub=True,
        hub_model_id=model_id,
        hub_strategy=strategy,
        hub_token=token,
        hub_private_repo=private_repo,
        hub_always_push=always_push,
        hub_revision=revision,
    )


def set_optimizer(
    args: A,
    name: str = "adamw_torch",
    learning_rate: float = 5e-5,
    weight_decay: float = 0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    optimizer_args: str | None = None,
) -> A:
    """The arguments with this optimizer."""
    return args.replace(
        optim=name,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        adam_beta1=beta1,
        adam_beta2=beta2,
        adam_epsilon=epsilon,
        optim_args=optimizer_args,
    )


def set_lr_scheduler(
    args: A,
    name: str = "linear",
    num_epochs: float = 3.0,
    max_steps: int = -1,
    warmup_steps: float = 0,
    scheduler_args: Options = None,
) -> A:
    """The arguments with this schedule."""
    return args.replace(
        lr_scheduler_type=name,
        num_train_epochs=num_epochs,
        max_steps=max_steps,
        warmup_steps=warmup_steps,
        lr_scheduler_kwargs=scheduler_args,
    )


def set_dataloader(
    args: A,
    train_batch_size: int = 8,
    eval_batch_size: int = 8,
    drop_last: bool = False,
    num_workers: int = 0,
    pin_memory: bool = True,
    persistent_workers: bool = False,
    prefetch_factor: int | None = None,
    auto_find_batch_size: bool = False,
    ignore_data_skip: bool = False,
    sampler_seed: int | None = None,
    sampling: Sampling = "random",
) -> A:
    """The arguments with these of data loading."""
    return args.replace(
        per_device_train_batch_size=train_batch_size,
        per_device_eval_batch_size=eval_batch_size,
        dataloader_drop_last=drop_last,
        dataloader_num_workers=num_workers,
        dataloader_pin_memory=pin_memory,
        dataloader_persistent_workers=persistent_workers,
        dataloader_prefetch_factor=prefetch_factor,
        auto_find_batch_size=auto_find_batch_size,
        ignore_data_skip=ignore_data_skip,
        data_seed=sampler_seed,
        train_sampling_strategy=sampling,
    )


@contextmanager
def main_process_first(args: TrainingArguments, local: bool = True, desc: str = "work") -> Iterator[None]:
    """Let the first process do something, such as fill a cache, before the others do it.

    local: the first process of each machine, not of the run. desc: what is done, for who reads the code.
    """
    first = args.local_process_index == 0 if local else args.process_index == 0
    if not first:
        args.launch.barrier()
    try:
        yield
    finally:
        if first:
            args.launch.barrier()
