"""`hft train`: a training run from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hf_transformers.cli.inputs import parse_options
from hf_transformers.cli.terminal import answers_console


def train(
    config: Annotated[Path, typer.Option("--config", "-c", help="What to train: YAML, JSON or TOML.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Another value, as training.max_steps=100. Repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last complete checkpoint.")
    ] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Go on from this checkpoint.")] = None,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write learning curves and a page, or do not.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and what it needs; train nothing.")
    ] = False,
) -> None:
    """Train a model as a file says, and leave the model, its card and its learning curves."""
    from hf_train.jobs import read_job, run_job

    overrides = parse_options(settings or [], dotted=True)
    if report is not None:
        overrides["report"] = report
    job = read_job(config, overrides)
    console = answers_console()

    def say(text: str) -> None:
        console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)

    if dry_run:
        from hf_train.jobs import plan_job

        say(plan_job(job))
        return
    metrics = run_job(job, resume=str(checkpoint) if checkpoint is not None else resume or None, say=say)
    console.print("\n[bold]done[/]")
    for name, value in metrics.items():
        console.print(f"  {name:28} {value:.6g}")
