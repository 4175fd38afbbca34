"""`hft chat`: a conversation with a model in the terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hf_transformers.cli.inputs import parse_options
from hf_transformers.cli.terminal import answers_console

if TYPE_CHECKING:
    from hf_pipelines import ChatMessage, TextGenerationPipeline


def chat(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Hub id or local folder of a model with a chat template.",
            show_default="a small storyteller, bundled",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="What the model should be, said before all else.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="An option of generate, as name=value. Repeatable."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, ... (default: first GPU, else CPU).")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Weights in float32, bfloat16, ... (default: as stored).")
    ] = None,
) -> None:
    """Talk with a model. An empty line or end of input leaves; /new begins again, /undo takes back the last turn."""
    from hf_pipelines import TextGenerationPipeline, pipeline_for
    from hf_transformers.demo_data import storyteller

    model = str(storyteller()) if model is None else model
    loading = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    pipe = pipeline_for("text-generation", model, {**parse_options(options or []), **loading})
    if not isinstance(pipe, TextGenerationPipeline):
        raise typer.BadParameter(f"{model} does not generate text")
    console = answers_console()
    interactive = sys.stdin.isatty()
    if interactive:
        console.print(
            f"[dim]{escape(pipe.parts.name)} on {pipe.device}. /new, /undo; an empty line leaves.[/]"
        )
    beginning: list[ChatMessage] = [] if system is None else [{"role": "system", "content": system}]
    turns = list(beginning)
    while (said := _ask(interactive)) is not None:
        if said == "/new":
            turns = list(beginning)
        elif said == "/undo":
            turns = turns[: max(len(turns) - 2, len(beginning))]
        else:
            turns.append({"role": "user", "content": said})
            turns.append({"role": "assistant", "content": _answer(pipe, turns, interactive)})


def _ask(interactive: bool) -> str | None:
    """The next thing the user says; None to leave."""
    try:
        said = input("> " if interactive else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None
    return said or None


def _answer(pipe: TextGenerationPipeline, turns: list[ChatMessage], interactive: bool) -> str:
    """Print the answer as it comes; Ctrl-C ends it early. Gives what was said."""
    said: list[str] = []
    started = time.perf_counter()
    try:
        for piece in pipe.stream_text(turns):
            sys.stdout.write(piece)
            sys.stdout.flush()
            said.append(piece)
    except KeyboardInterrupt:
        sys.stdout.write(" ...")
    sys.stdout.write("\n")
    if interactive:
        answers_console().print(f"[dim]{time.perf_counter() - started:.1f} s[/]")
    return "".join(said)
