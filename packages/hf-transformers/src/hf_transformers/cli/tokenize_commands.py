"""`hft tokenize` and `hft chat-template`: what a tokenizer makes of a text, and what a model would be told."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer

from hf_transformers.cli.terminal import answers_console

_COLOURS = ("on dark_blue", "on dark_green", "on dark_magenta", "on dark_cyan", "on grey30")


def tokenize(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Folder or Hub id.")],
    special: Annotated[bool, typer.Option(help="Add the model's special tokens.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a token.")] = False,
) -> None:
    """Show tokens, ids, offsets and special tokens of a text."""
    from hf_tokenize import AutoTokenizer, token_rows

    content = typer.get_text_stream("stdin").read() if text == "-" else text
    rows = token_rows(AutoTokenizer.from_pretrained(model), content, add_special_tokens=special)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(asdict(row), ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    console = answers_console()
    line = Text()
    for row in rows:
        shown = row.token if row.special else row.surface.replace("\n", "\\n") or row.token
        line.append(shown, style="bold yellow" if row.special else _COLOURS[row.index % len(_COLOURS)])
    console.print(line)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("#", "id", "token", "characters", "text"):
        table.add_column(title, style="bold" if title == "token" else None, overflow="fold")
    for row in rows:
        span = "" if row.span is None else f"{row.span.start}-{row.span.end}"
        style = "yellow" if row.special else None
        table.add_row(
            str(row.index), str(row.id), Text(row.token), span, Text(repr(row.surface)), style=style
        )
    console.print(table)
    console.print(
        Text(f"{len(rows)} tokens, {sum(row.special for row in rows)} of them special", style="dim")
    )


def chat_template(
    model: Annotated[str, typer.Argument(help="Folder or Hub id.")],
    messages: Annotated[
        Path, typer.Option(help="JSON file: a list of messages, or an object with messages and tools.")
    ],
    generation_prompt: Annotated[bool, typer.Option(help="End where the assistant begins to speak.")] = True,
    mask: Annotated[bool, typer.Option(help="Show in colour what the assistant said.")] = False,
    ids: Annotated[bool, typer.Option(help="Print token ids instead of text.")] = False,
) -> None:
    """Render a conversation as the model would see it."""
    from rich.text import Text

    from hf_hub_io.jsonio import parse_json
    from hf_tokenize import AutoTokenizer
    from hf_tokenize.chat.render import Conversation
    from hf_tokenize.chat.tools import Tool

    parsed = parse_json(messages.read_bytes(), source=str(messages))
    given = parsed if isinstance(parsed, dict) else {"messages": parsed}
    talk = cast("Conversation", given.get("messages") or [])
    tools = cast("list[Tool] | None", given.get("tools"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    console = answers_console()
    if mask:
        batch = tokenizer.apply_chat_template(talk, tools=tools, return_assistant_tokens_mask=True)
        line = Text()
        for id, said in zip(batch["input_ids"], batch["assistant_masks"], strict=True):
            line.append(tokenizer.decode(id), style="bold green" if said else "dim")
        console.print(line)
        return
    if ids:
        batch = tokenizer.apply_chat_template(talk, tools=tools, add_generation_prompt=generation_prompt)
        typer.echo(json.dumps(batch["input_ids"]))
        return
    text = tokenizer.apply_chat_template(
        talk, tokenize=False, tools=tools, add_generation_prompt=generation_prompt
    )
    typer.echo(text)


def register(app: typer.Typer) -> None:
    """Adds both commands to `hft`."""
    app.command()(tokenize)
    app.command("chat-template")(chat_template)
