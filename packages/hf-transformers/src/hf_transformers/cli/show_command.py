"""`hft show`: a checkpoint's resolved spec and weight table, read from its headers alone."""

from __future__ import annotations

from typing import Annotated

import typer


def show(
    model: Annotated[str, typer.Argument(help="Hub id or local folder.")],
) -> None:
    """Print what a checkpoint is: every part of the model with its numbers, and where its weights come
    from.
    """
    from hf_modeling.show import show_checkpoint

    typer.echo(show_checkpoint(model))
