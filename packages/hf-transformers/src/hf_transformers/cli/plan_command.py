"""`hft plan`: what training a model on a cluster takes, before any of it is rented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_hub_io.errors import HfError, MissingPackageError

if TYPE_CHECKING:
    from rich.table import Table

    from hf_parallel.cost import Cluster, Estimate
    from hf_parallel.cost.share import Measured

GIB = 1 << 30
PARTS = ("weights", "gradients", "optimizer", "gathered", "activations", "logits")
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


class AmountError(HfError, ValueError):
    """A number of tokens that cannot be read, or a setting that is not NAME=NUMBER."""


def plan(
    model: Annotated[str, typer.Argument(help="Hub id, local folder, or a config.json.")],
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Devices in all.")] = 8,
    gpu: Annotated[str, typer.Option("--gpu", help="h100, a100, h200, b200, rtx4090, mi300x, ...")] = "h100",
    node: Annotated[int, typer.Option("--node", min=1, help="Devices joined by the fast link.")] = 8,
    inter: Annotated[float, typer.Option("--inter", help="GB/s between nodes, per device.")] = 50.0,
    seq: Annotated[int, typer.Option("--seq", min=1, help="Tokens of a sequence.")] = 4096,
    tokens_per_step: Annotated[
        str,
        typer.Option("--tokens-per-step", help="Over all devices, such as 4M; one sequence each by default."),
    ] = "",
    run_tokens: Annotated[str, typer.Option("--run-tokens", help="Of the whole run, such as 1T.")] = "",
    dtype: Annotated[str, typer.Option("--dtype", help="To compute in: bfloat16 or float32.")] = "bfloat16",
    fix: Annotated[list[str] | None, typer.Option("--fix", help="A degree that is decided: tp=8.")] = None,
    layout: Annotated[str, typer.Option("--layout", help="One layout alone: dp_shard=4,tp=2.")] = "",
    top: Annotated[int, typer.Option("--top", min=1, help="Layouts to show.")] = 5,
    show: Annotated[bool, typer.Option("--show", help="Print where every parameter goes, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw memory and time of the layouts here.")
    ] = None,
) -> None:
    """Rank the ways to spread a model over devices: memory, traffic, speed, and what to change first. Reads a
    config, no weights.
    """
    from hf_parallel import ParallelSpec
    from hf_parallel.cost import Workload, advise, estimate, rank_layouts
    from hf_parallel.cost.cluster import cluster

    measured = read_model(model)
    machine = cluster(gpus, gpu, node=node, inter=inter * 1e9)
    work = Workload(seq=seq, compute=dtype)
    # In whole sequences for every device if there are enough: other numbers leave few layouts to choose from.
    asked = round(amount(tokens_per_step) / seq) if tokens_per_step else gpus
    sequences = max(1, asked if asked < gpus else round(asked / gpus) * gpus)
    if layout:
        spec = ParallelSpec.parse(layout)
        fixed = {axis: getattr(spec, axis) for axis in ("pp", "dp_replicate", "dp_shard", "cp", "tp", "ep")}
        if spec.world_size != gpus:
            estimate(measured, spec, work, machine)  # says what is wrong with it
    else:
        fixed = {name: int(degree) for name, degree in map(setting, fix or [])}
    found = rank_layouts(measured, machine, work, sequences=sequences, fixed=fixed, top=1 if layout else top)
    if png is not None:
        draw(found, png)
    if as_json:
        typer.echo(
            json.dumps({"parameters": measured.facts.parameters, "layouts": [record(e) for e in found]})
        )
        return
    _print(measured, found, machine, run_tokens)
    from hf_transformers.cli.terminal import answers_console

    console = answers_console()
    for one in advise(measured, found[0], machine)[:3]:
        console.print(
            f"  [cyan]{one.setting}[/]: {one.why}; {one.memory / GIB:+.1f} GiB free, step x{one.time:.2f}",
            highlight=False,
        )
    if show:
        from hf_parallel.plan import make_plan

        console.print(str(make_plan(measured.cls, measured.config, found[0].layout)), highlight=False)


def read_model(name: str) -> Measured:
    """The costs of the causal language model, or else of the encoder, that a config describes."""
    from hf_config import AutoConfig
    from hf_modeling.auto import AutoModel, AutoModelForCausalLM
    from hf_modeling.errors import ModelingError
    from hf_parallel.cost.share import Measured

    path = Path(name)
    config = AutoConfig.from_pretrained(path.parent if path.name == "config.json" else name)
    try:
        return Measured(AutoModelForCausalLM.class_for(config), config)
    except ModelingError:
        return Measured(AutoModel.class_for(config), config)


def amount(text: str) -> float:
    """A number with k, M, B or T after it. Raises AmountError."""
    match = re.fullmatch(r"\s*([\d_]*\.?\d+)\s*([kmbt]?)\s*", text.lower())
    if match is None:
        raise AmountError(f"{text!r} is not a number of tokens", fix="write it as 4M, 1.5T or 4_194_304")
    return float(match[1].replace("_", "")) * UNITS[match[2]]


def setting(text: str) -> tuple[str, str]:
    """A degree written as tp=8. Raises AmountError."""
    from hf_parallel import AXES

    name, _, value = text.partition("=")
    if name not in AXES or not value.isdecimal():
        raise AmountError(
            f"--fix {text!r} fixes no degree", fix=f"write one of {', '.join(AXES)} and a number: tp=8"
        )
    return name, value


def record(one: Estimate) -> dict[str, object]:
    """An estimate as JSON; bytes and seconds."""
    from dataclasses import asdict

    return {
        "layout": str(one.layout),
        "batch": one.workload.batch,
        "microbatches": one.workload.microbatches,
        "recompute": one.workload.recompute,
        "memory": {**asdict(one.memory), "total": one.memory.total},
        "traffic": asdict(one.traffic),
        "times": {**asdict(one.times), "step": one.times.step},
        "tokens_per_second": one.tokens_per_second,
        "mfu": one.mfu,
        "fits": one.fits,
        "bound_by": one.bound_by,
    }


def _print(measured: Measured, found: list[Estimate], machine: Cluster, run_tokens: str) -> None:
    from hf_parallel.cost import outlook
    from hf_transformers.cli.terminal import answers_console

    console = answers_console()
    facts = measured.facts
    console.print(
        f"[bold]{measured.cls.__name__}[/]: {facts.parameters / 1e9:.2f}B parameters on {machine.devices} devices "
        f"of {machine.accelerator.memory / GIB:.0f} GiB; estimates, good to about 30%",
        highlight=False,
    )
    console.print(_table(found))
    best = found[0]
    paste = f'TrainingArguments(parallel="{best.layout}", per_device_train_batch_size={best.workload.batch}'
    console.print(f"  {paste}, gradient_accumulation_steps={best.workload.microbatches})", highlight=False)
    if run_tokens:
        run = outlook(measured, best, machine, tokens=amount(run_tokens))
        console.print(
            f"  {run.steps:,} steps, {run.days:.1f} days; {run.failures:.1f} failures expected, a checkpoint "
            f"of {run.checkpoint_bytes / GIB:,.0f} GiB every {run.interval / 60:.0f} min, goodput {run.goodput:.1%}",
            highlight=False,
        )


def _table(found: list[Estimate]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("layout", overflow="fold")
    for name in ("batch", "recompute", "GiB", "step s", "tok/s", "MFU", "bubble", "bound by"):
        table.add_column(name, justify="left" if name in ("recompute", "bound by") else "right", no_wrap=True)
    for one in found:
        total = f"{one.memory.total / GIB:.1f}"
        table.add_row(
            str(one.layout) or "one process",
            f"{one.workload.batch}x{one.workload.microbatches}",
            one.workload.recompute,
            total if one.fits else f"[red]{total}[/]",
            f"{one.times.step:.3g}",
            f"{one.tokens_per_second / 1e3:,.0f}k",
            f"{one.mfu:.0%}",
            f"{one.times.bubble / one.times.step:.0%}",
            one.bound_by,
        )
    return table


def draw(found: list[Estimate], path: Path) -> None:
    """Bars of memory and of step time, one a layout. Raises MissingPackageError."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError("matplotlib", "hft plan --png", "pip install matplotlib") from None
    from dataclasses import fields

    from hf_parallel.cost import Times

    figure = Figure(figsize=(11, 1.5 + 0.6 * len(found)), layout="constrained")
    names = [str(one.layout) or "one process" for one in found]
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, parts, unit, title in (
        (left, PARTS, GIB, "memory of the fullest rank, GiB"),
        (right, tuple(field.name for field in fields(Times)), 1, "seconds of a step"),
    ):
        start = [0.0] * len(found)
        for part in parts:
            sizes = [getattr(one.memory if axis is left else one.times, part) / unit for one in found]
            if any(sizes):
                axis.barh(names, sizes, left=start, label=part)
            start = [a + b for a, b in zip(start, sizes, strict=True)]
        axis.set_xlabel(title)
        axis.legend(fontsize="x-small")
    left.invert_yaxis()
    figure.savefig(path, dpi=120)
