"""`hft dcp-to-hf`: a checkpoint of parallel training as one that any program can load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dcp_to_hf(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that hf_parallel.save_checkpoint wrote.")],
    target: Annotated[Path, typer.Argument(help="Where to write safetensors and config.json.")],
    max_shard_size: Annotated[str, typer.Option("--max-shard-size", help="Of a file, such as 5GB.")] = "5GB",
) -> None:
    """Turn a checkpoint of parallel training into a standard one. Needs no GPU, and memory for a few tensors."""
    from hf_parallel import export_checkpoint
    from hf_transformers.cli.terminal import answers_console

    plan = export_checkpoint(checkpoint, target, max_shard_size=max_shard_size)
    files, tensors = len(plan.files), sum(map(len, plan.files.values()))
    answers_console().print(
        f"{tensors} tensors in {files} file{'s' if files > 1 else ''}: {target}", highlight=False
    )
