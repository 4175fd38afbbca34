"""A run as pictures: learning curves as PNG, and one HTML page with curves, results and arguments."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hf_hub_io import JsonValue, atomic_write_bytes, atomic_write_text
from hf_hub_io.errors import HfError, MissingPackageError
from hf_train.callbacks.state import Logs, TrainerState

CURVES_NAME: Final = "learning_curves.png"
REPORT_NAME: Final = "report.html"
_SPEED = ("_runtime", "_per_second", "_time")
_BLUE, _ORANGE = "#2563eb", "#ea580c"


class ReportError(HfError, ValueError):
    """A run that left nothing to draw."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure over the steps of a run."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


def curves(log_history: Sequence[Logs]) -> dict[str, Curve]:
    """Every figure that was logged at steps, by name, in the order of appearance; speeds are left out."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in log_history:
        step = row.get("step")
        if not isinstance(step, int) or "train_runtime" in row:
            continue
        for name, value in row.items():
            if name in ("step", "epoch") or name.endswith(_SPEED) or isinstance(value, bool):
                continue
            if isinstance(value, int | float):
                points.setdefault(name, []).append((step, float(value)))
    return {
        name: Curve(
            name=name, steps=tuple(step for step, _ in found), values=tuple(value for _, value in found)
        )
        for name, found in points.items()
    }


def draw_curves(log_history: Sequence[Logs], *, title: str = "") -> bytes:
    """A PNG with a panel for the losses and one for every other figure.

    Raises:
        ReportError: nothing was logged. MissingPackageError: matplotlib is not installed.
    """
    found = curves(log_history)
    if not found:
        raise ReportError("nothing was logged, so there is no curve to draw", fix="set logging_steps lower")
    panels: list[list[Curve]] = []
    losses = [found.pop(name) for name in ("loss", "eval_loss") if name in found]
    panels += [losses] if losses else []
    panels += [[curve] for curve in found.values()]
    figure_class, canvas_class = _matplotlib()
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure: Any = figure_class(figsize=(4.6 * columns, 3.1 * rows), dpi=110, layout="constrained")
    canvas = canvas_class(figure)
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_panel(axes, panel)
    if title:
        figure.suptitle(title, fontsize=12)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue()


def _draw_panel(axes: Any, panel: Sequence[Curve]) -> None:
    for curve in panel:
        measured = curve.name.startswith(("eval_", "test_"))
        style = {"color": _ORANGE, "marker": "o", "markersize": 3} if measured else {"color": _BLUE}
        axes.plot(curve.steps, curve.values, linewidth=1.4, label=curve.name, **style)
    axes.set_title(panel[0].name if len(panel) == 1 else "loss", fontsize=10, loc="left")
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(panel) > 1:
        axes.legend(fontsize=8, frameon=False)
    values = [value for curve in panel for value in curve.values]
    if panel[0].name != "learning_rate" and min(values) > 0 and max(values) > 50 * min(values):
        axes.set_yscale("log")


def _matplotlib() -> tuple[Any, Any]:
    """Classes of a figure and of a canvas that needs no display and touches no global state."""
    try:
        figure, agg = import_module("matplotlib.figure"), import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise MissingPackageError(
            "matplotlib", "the report of a run", "pip install hf-train[report]"
        ) from error
    return figure.Figure, agg.FigureCanvasAgg


def write_report(
    folder: str | Path,
    state: TrainerState,
    *,
    title: str = "Training run",
    arguments: Mapping[str, JsonValue] | None = None,
    results: Mapping[str, JsonValue] | None = None,
) -> Path:
    """Write `learning_curves.png` and `report.html` into `folder`; the page, which holds the picture itself."""
    folder = Path(folder)
    picture = draw_curves(state.log_history)
    atomic_write_bytes(folder / CURVES_NAME, picture)
    summary: dict[str, JsonValue] = {"steps": state.global_step, "epochs": round(state.epoch, 3)}
    if state.best_metric is not None:
        summary |= {"best metric": state.best_metric, "best step": state.best_global_step}
    for row in state.log_history:
        summary |= {name: value for name, value in row.items() if name.startswith("train_")}
    summary |= dict(results or {})
    path = folder / REPORT_NAME
    atomic_write_text(path, _page(title, picture, summary, arguments or {}, state.log_history))
    return path


def _page(
    title: str,
    picture: bytes,
    summary: Mapping[str, JsonValue],
    arguments: Mapping[str, JsonValue],
    history: Sequence[Logs],
) -> str:
    encoded = base64.b64encode(picture).decode()
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f"<img alt='learning curves' src='data:image/png;base64,{encoded}'>",
        "<h2>Summary</h2>",
        _pairs(summary),
        "<h2>Evaluations</h2>",
        _evaluations(history),
        "<h2>Arguments</h2>",
        _pairs(arguments),
        "</body></html>\n",
    ]
    return "\n".join(parts)


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2937}"
    "img{max-width:100%}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid #e5e7eb}h2{margin-top:2rem}"
)


def _pairs(values: Mapping[str, JsonValue]) -> str:
    if not values:
        return "<p>none</p>"
    rows = (
        f"<tr><th>{html.escape(name)}</th><td>{_shown(value)}</td></tr>" for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _evaluations(history: Sequence[Logs]) -> str:
    rows = [row for row in history if any(name.startswith("eval_") for name in row)]
    if not rows:
        return "<p>none</p>"
    names = ["step", *dict.fromkeys(name for row in rows for name in row if name.startswith("eval_"))]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{_shown(row.get(name))}</td>' for name in names)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _shown(value: JsonValue) -> str:
    return html.escape(f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value))
