"""`python -m tools.bench [CASE ...]`: run benchmarks side by side with the peer and print the table."""

import os
from pathlib import Path
from shutil import get_terminal_size
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from tools.bench import report, runner
from tools.bench.case import Result

console = Console(width=max(150, get_terminal_size().columns))


def main(
    cases: Annotated[
        list[str] | None, typer.Argument(help="Names or prefixes of cases; all when none.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the cases and stop.")] = False,
    samples: Annotated[
        int | None, typer.Option(help="Timed calls a side, instead of each case's own.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads for both sides.")] = os.cpu_count() or 1,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Run the cases that need a CUDA device, and only those.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write every sample to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    """Exit status 1 when a side stopped or the two computed different things; a missed goal is only shown."""
    known = {name: found for name, found in runner.discover().items() if found[1].gpu == gpu}
    chosen = {
        word: [word] if word in known else [n for n in known if n.startswith(word)] for word in cases or [""]
    }
    wanted = [name for name in known if any(name in names for names in chosen.values())]
    if unknown := [word for word, names in chosen.items() if not names]:
        raise typer.BadParameter(f"no case is called {', '.join(unknown)}; known: {', '.join(known)}")
    if show:
        console.print("\n".join(wanted))
        return
    results: list[Result] = []
    failures: list[str] = []
    with TemporaryDirectory(prefix="hf-bench-") as scratch:
        for name in wanted:
            module, case = known[name]
            console.print(f"{name} ...", style="dim")
            try:
                results.append(
                    runner.run(module, case, scratch=Path(scratch), threads=threads, samples=samples)
                )
            except runner.BenchmarkError as error:
                failures.append(str(error))
    console.print(report.markdown(results) if markdown else report.table(results), soft_wrap=markdown)
    if json is not None:
        report.save(results, json, threads=threads)
    console.print("\n".join(failures), style="red")
    if failures or not all(report.agrees(result) for result in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
