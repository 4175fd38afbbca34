"""`hft run`: any task over inputs from the command line, a file or a pipe; one JSON line for each result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import typer

from hf_transformers.cli.inputs import Format, parse_options, read_inputs
from hf_transformers.cli.records import to_json


def run(
    task: Annotated[str, typer.Argument(help="A task, such as text-generation or ner.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Hub id or local folder.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", help="An input: text, or JSON for tasks that read records. Repeatable."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read inputs from a file instead of standard input.")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="How file or standard input is written; auto goes by name and first line.")
    ] = Format.AUTO,
    column: Annotated[
        str | None, typer.Option(help="The CSV column, or JSON key, that holds the input.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="An option of the task, as name=value. Repeatable."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, ... (default: first GPU, else CPU).")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Weights in float32, bfloat16, ... (default: as stored).")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print generated text as it comes.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help='Print {"error": ...} for a bad input and go on.')
    ] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Show a progress bar on stderr.")] = False,
) -> None:
    """Run a task on a model; one JSON line for each input, in order, as soon as it is done.

    Examples:

      hft run fill-mask -m google-bert/bert-base-uncased -i "Paris is the [MASK] of France."

      cat reviews.csv | hft run sentiment-analysis -m ORG/NAME --format csv --column review > labels.jsonl
    """
    items = read_inputs(inputs, file, format, column)
    from hf_pipelines import FailedItem, TextGenerationPipeline, pipeline_for

    loading = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    pipe = pipeline_for(task, model, {**parse_options(options or []), **loading, "progress": progress})
    if stream:
        if not isinstance(pipe, TextGenerationPipeline):
            raise typer.BadParameter("only text-generation has text to stream", param_hint="--stream")
        for item in items:
            # What a prompt may be is checked at run time, as it comes from outside.
            _write_pieces(pipe.stream_text(cast("str", item)))
        return
    for result in pipe.stream(items, on_error="yield" if keep_going else "raise"):
        record = (
            {"error": str(result.error), "input": result.index} if isinstance(result, FailedItem) else result
        )
        sys.stdout.write(to_json(record) + "\n")
        sys.stdout.flush()


def _write_pieces(pieces: Iterator[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
