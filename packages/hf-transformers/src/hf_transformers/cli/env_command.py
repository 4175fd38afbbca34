"""`hft env`: what is installed and what the machine has, for a bug report or a glance."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from hf_transformers.cli.terminal import answers_console

OWN = (
    "hf-transformers",
    "hf-pipelines",
    "hf-train",
    "hf-parallel",
    "hf-quant",
    "hf-modeling",
    "hf-tokenize",
    "hf-config",
    "hf-hub-io",
)
LIBRARIES = (
    "torch",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "jinja2",
    "accelerate",
    "triton",
)
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")


def env(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Versions, devices and settings that matter for a bug report."""
    facts = environment()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    table.add_column(min_width=24, style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for title, values in facts.items():
        table.add_row(f"[bold not cyan]{title}[/]")
        for name, value in values.items():
            style = "dim" if value.startswith("(") else "default"
            table.add_row(f"  {name}", f"[{style}]{value}[/]")
    answers_console().print(table)


def environment() -> dict[str, dict[str, str]]:
    """Facts by group; a package that is absent says so."""
    return {
        "packages": {name: _version(name) for name in OWN},
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": _machine(),
        "settings": {name: os.environ.get(name, "(not set)") for name in VARIABLES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _machine() -> dict[str, str]:
    import torch

    facts = {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "CPU": f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
    }
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        facts[f"GPU {index}"] = (
            f"{device.name}, {device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        )
    if torch.backends.mps.is_available():
        facts["GPU"] = "Apple Metal"
    return facts
