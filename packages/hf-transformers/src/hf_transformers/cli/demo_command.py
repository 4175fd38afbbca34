"""`hft demo`: semantic search, or stories, with real models, so that one command shows the whole house at work."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hf_transformers.cli.terminal import answers_console

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from hf_pipelines import EmbeddingPipeline

BAR_WIDTH = 16


class Show(StrEnum):
    """What the demo shows."""

    SEARCH = "search"
    GENERATE = "generate"


def demo(
    what: Annotated[
        Show, typer.Argument(help="Search sixty sentences by meaning, or have stories told.")
    ] = Show.SEARCH,
    queries: Annotated[
        list[str] | None,
        typer.Option("--query", "-q", help="What to look for, or to tell a story about. Repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Hub id or local folder of another model.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Sentences shown for each query.")] = 3,
) -> None:
    """Search sixty sentences by meaning, or have stories told, with a real model on this machine."""
    if what is Show.GENERATE:
        _generate(queries, model)
    else:
        _search(queries, model, top)


def _generate(queries: list[str] | None, model: str | None) -> None:
    """Answer each request, word by word."""
    from hf_pipelines import pipeline
    from hf_transformers.demo_data import PROMPTS, storyteller

    console = answers_console()
    pipe = pipeline("text-generation", str(storyteller()) if model is None else model, dtype="float32")
    size = f"{pipe.model.num_parameters() / 1e6:,.1f} M parameters on {pipe.device}"
    name = "a storyteller, bundled" if model is None else model
    console.print(f"\n[bold]Stories[/] [dim]- {escape(name)}, {size}[/]")
    for query in queries or PROMPTS:
        console.print(f"\n[bold cyan]> {escape(query)}[/]")
        started, pieces = time.perf_counter(), 0
        for piece in pipe.stream_text([{"role": "user", "content": query}]):
            console.file.write(piece)
            console.file.flush()
            pieces += 1
        seconds = time.perf_counter() - started
        console.print(f"\n[dim]{pieces / seconds:,.0f} pieces of text/s[/]")
    if not queries:
        console.print(
            '\n[dim]Your turn:[/] hft demo generate --query "A story about a brave mouse", or hft chat\n'
        )


def _search(queries: list[str] | None, model: str | None, top: int) -> None:
    from rich.padding import Padding

    from hf_transformers.demo_data import QUERIES, bundled_model, corpus

    pipe, pooling = _load(str(bundled_model()) if model is None else model)
    sentences = corpus()
    pipe("The first pass warms the machine up.")
    before, started = pipe.stats(), time.perf_counter()
    corpus_ND = pipe(sentences)
    seconds, work = time.perf_counter() - started, pipe.stats() - before
    facts = {
        "model": "all-MiniLM-L6-v2, bundled" if model is None else model,
        "loaded": _loaded(pipe),
        "pooling": pooling,
        "corpus": f"{work.inputs} sentences, {work.tokens:,} tokens, read in {1e3 * seconds:,.0f} ms: "
        f"{work.tokens / seconds:,.0f} tokens/s, {work.inputs / seconds:,.0f} sentences/s, "
        f"{work.padding_ratio:.0%} padding",
    }
    console = answers_console()
    console.print("\n[bold]Search by meaning[/] [dim]- no word of the query has to be in the sentence[/]\n")
    console.print(Padding(_facts(facts), (0, 2)))
    for query in queries or QUERIES:
        started = time.perf_counter()
        scores_N = corpus_ND @ pipe(query)
        milliseconds = 1e3 * (time.perf_counter() - started)
        console.print(f"\n[bold cyan]{escape(query)}[/] [dim]{milliseconds:.1f} ms[/]")
        console.print(Padding(_ranking(scores_N, sentences, top), (0, 2)))
    if not queries:
        console.print('\n[dim]Your turn:[/] hft demo --query "something to eat tonight"')
    console.print()


def _load(source: str) -> tuple[EmbeddingPipeline, str]:
    """The embedding pipeline, and how it pools."""
    from hf_pipelines import PoolingError, pipeline

    try:
        pipe = pipeline("feature-extraction", source, pooling="auto", normalize=True)
    except PoolingError as error:
        pipe = pipeline("feature-extraction", source, pooling="mean", normalize=True)
        return pipe, f"mean of all tokens ({error.what})"
    return pipe, f"{' + '.join(pipe.head.modes)} of all tokens, as modules.json says"


def _loaded(pipe: EmbeddingPipeline) -> str:
    """The load report in one line."""
    parameters = f"{pipe.model.num_parameters() / 1e6:,.1f} M parameters on {pipe.device}"
    report = pipe.model.load_report
    if report is None:
        return parameters
    left_out = f", {len(report.ignored)} left out by rule" if report.ignored else ""
    return (
        f"{report.consumed} tensors, {report.nbytes / 1e6:,.0f} MB in {1e3 * report.seconds:,.0f} ms, "
        f"{report.bytes_mapped / max(report.nbytes, 1):.0%} mapped without a copy{left_out}; {parameters}"
    )


def _facts(facts: dict[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, escape(value))
    return table


def _ranking(scores_N: Tensor, sentences: list[str], top: int) -> Table:
    """The best sentences, each with its score as a number and a bar."""
    from rich.bar import Bar
    from rich.table import Table

    best = scores_N.topk(min(top, len(sentences)))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=BAR_WIDTH)
    table.add_column()
    for place, (score, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        color, style = ("green", "default") if place == 0 else ("bright_black", "dim")
        bar = Bar(size=1.0, begin=0.0, end=max(score, 0.0), width=BAR_WIDTH, color=color)
        table.add_row(f"[{color}]{score:.2f}[/]", bar, f"[{style}]{escape(sentences[index])}[/]")
    return table
