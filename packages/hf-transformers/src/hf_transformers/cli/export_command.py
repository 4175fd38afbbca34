"""`hft export-code`: one model's source as a single file of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_code(
    model: Annotated[str, typer.Argument(help="Hub id or local folder; only its config is read.")],
    out: Annotated[Path | None, typer.Argument(help="File to write; without it, standard output.")] = None,
) -> None:
    """Write a model as one Python file that needs nothing but PyTorch, to read, teach or change."""
    from hf_config import AutoConfig
    from hf_hub_io import atomic_write_text
    from hf_modeling.export import export_code as exported

    code = exported(AutoConfig.from_pretrained(model))
    if out is None:
        typer.echo(code)
    else:
        atomic_write_text(out, code)
        typer.echo(f"{out}: {len(code.splitlines())} lines")
