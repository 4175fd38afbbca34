"""Running a job: read, prepare, train, evaluate, and leave a model, a card and a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hf_config import AutoConfig
from hf_hub_io import JsonValue
from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_train.advice import advise, device_memory, estimate, shape_of
from hf_train.argparser import HfArgumentParser
from hf_train.arguments import TrainingArguments, resolve, table
from hf_train.card import training_card
from hf_train.jobs.job import Job
from hf_train.jobs.rows import read_rows
from hf_train.jobs.tasks import Labels, Parts, Prepared, model_class, prepare
from hf_train.trainer import Trainer

# Tasks whose models come with their heads, and the Hub's names of them.
PIPELINES = {
    "causal-lm": "text-generation",
    "masked-lm": "fill-mask",
    "seq2seq": "text2text-generation",
}


def run_job(
    job: Job, *, resume: str | bool | None = None, say: Callable[[str], object] = lambda text: None
) -> dict[str, float]:
    """Train as `job` describes; the metrics of the last evaluation, or of training where there was none.

    Args:
        resume: a checkpoint, or True for the last complete one in the output folder.
        say: is told what the run resolved to before it begins.

    Raises:
        JobError and the errors of the Trainer; each names the key or the row it is about.
    """
    (args,) = HfArgumentParser(TrainingArguments).parse_dict(_arguments(job))
    say(table(resolve(args)))
    prepared, tokenizer = _read(job)
    model = _model(job, prepared.labels)
    say(_facts(model, prepared))
    say(_outlook(model, args, prepared))
    trainer = _trainer(args, model, prepared, tokenizer)
    metrics = dict(trainer.train(resume_from_checkpoint=resume).metrics)
    if prepared.validation is not None:
        metrics = trainer.evaluate()
    trainer.save_model()
    trainer.save_state()
    _leave(job, trainer, args)
    return metrics


def plan_job(job: Job) -> str:
    """What `job` resolves to, what a step will need, and the settings that would pay; trains nothing."""
    (args,) = HfArgumentParser(TrainingArguments).parse_dict(_arguments(job))
    prepared, _ = _read(job)
    model = _model(job, prepared.labels)
    return f"{table(resolve(args))}\n{_facts(model, prepared)}\n{_outlook(model, args, prepared)}"


def _read(job: Job) -> tuple[Prepared, PreTrainedTokenizer]:
    tokenizer = AutoTokenizer.from_pretrained(_place(job, job.tokenizer or job.model))
    data = job.data
    train = read_rows(data.train, job.folder, split="train", limit=data.limit)
    validation = (
        None
        if data.validation is None
        else read_rows(data.validation, job.folder, split="validation", limit=data.limit)
    )
    return prepare(
        job.task, Parts(train=train, validation=validation, tokenizer=tokenizer, data=data)
    ), tokenizer


def _facts(model: Any, prepared: Prepared) -> str:
    return f"{type(model).__name__}: {model.num_parameters():,} parameters; {len(prepared.train):,} rows to train on"


def _outlook(model: Any, args: TrainingArguments, prepared: Prepared) -> str:
    """The estimate of memory, and advice."""
    lengths = [len(row["input_ids"]) for row in prepared.train[:1000]]
    shape, device = shape_of(model), args.device
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    advice = advise(shape, args, lengths, memory=device_memory(device), bf16_is_fast=fast)
    lines = [str(estimate(shape, args, max(lengths))), *(f"worth a try: {one}" for one in advice)]
    return "\n".join(lines)


def _arguments(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = dict(job.training)
    output_dir = Path(str(values.get("output_dir") or "trainer_output"))
    values["output_dir"] = str(output_dir if output_dir.is_absolute() else job.folder / output_dir)
    return values


def _place(job: Job, name: str) -> str:
    """A folder beside the run's file, if there is one of this name; else what is said, a path or a Hub id."""
    beside = job.folder / name
    return str(beside) if beside.is_dir() else name


def _model(job: Job, labels: Labels | None) -> Any:
    place = _place(job, job.model)
    classes: dict[str, Any] = {}
    if labels is not None:
        names = labels.names or ("score",)
        classes = {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: number for number, name in enumerate(names)},
        }
        if not labels.names:
            classes["problem_type"] = "regression"
    auto = model_class(job.task)
    if job.config is not None:
        values = AutoConfig.from_pretrained(place).to_dict() | dict(job.config) | classes
        config = type(AutoConfig.from_pretrained(place)).from_dict(values)
        return auto.from_config(config)
    if job.task in PIPELINES:
        return auto.from_pretrained(place)
    # A new head on a pretrained body is what fine-tuning is, and the old head is left behind.
    new = ("classifier.*", "score.*", "qa_outputs.*", "*pooler*")
    return auto.from_pretrained(
        place, allow_missing=new, allow_unexpected=("cls.*", "lm_head.*", *new), **classes
    )


def _trainer(args: TrainingArguments, model: Any, prepared: Prepared, tokenizer: Any) -> Trainer:
    return Trainer(
        model,
        args,
        prepared.collator,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        processing_class=tokenizer,
        compute_metrics=prepared.metric,
    )


def _leave(job: Job, trainer: Trainer, args: TrainingArguments) -> None:
    """The card, and with `report` the curves."""
    if not args.should_save:
        return
    arguments: dict[str, JsonValue] = dict(args.to_dict())
    card = training_card(
        Path(args.output_dir).name,
        trainer.state,
        arguments,
        base_model=None if job.config is not None or (job.folder / job.model).is_dir() else job.model,
        tasks=PIPELINES.get(job.task, job.task),
        data=f"`{job.data.train}`, {len(trainer.train_dataset):,} rows of up to {job.data.max_length} tokens.",
    )
    card.save(args.output_dir)
    if job.report and trainer.state.log_history:
        from hf_train.report import write_report

        write_report(
            args.output_dir, trainer.state, title=card.model_name, arguments={**asdict(job.data), **arguments}
        )
