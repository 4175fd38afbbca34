"""Where commands print: answers on stdout, everything about them on stderr."""

from __future__ import annotations

from rich.console import Console


def answers_console() -> Console:
    """The console of answers, on stdout. Made per call, so that redirections in tests and shells are seen."""
    return Console(highlight=False)


def errors_console() -> Console:
    """The console of errors, on stderr."""
    return Console(stderr=True, highlight=False)
