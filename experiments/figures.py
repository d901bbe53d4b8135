"""The figures that a study writes: which rows they show, what their titles say, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.aggregate import Row
from experiments.distributions import EDGES, exceedance
from experiments.labels import short_names
from experiments.numbers import number
from experiments.plots import plot_latency, plot_score_by_policy, plot_score_by_rate
from experiments.study import StudySpec
from experiments.style import FIGURE_STYLE, NOTE_COLOUR
from experiments.verdict import choice, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_TITLE = 52
_INCHES_A_LETTER, _INCHES_A_LINE = 0.085, 0.7
"""Room that a name in a legend takes, and the line before it."""


def draw_figures(folder: Path, study: StudySpec, table: Sequence[Row]) -> None:
    """Write goodput.png and latencies.png to `folder`, which exists."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        goodput_figure(table).savefig(folder / "goodput.png")
        latency_figure(study, table).savefig(folder / "latencies.png")


def goodput_figure(table: Sequence[Row]) -> Figure:
    """Goodput and smooth goodput side by side, against the rate if there are several."""
    judged = scores(table)
    lines = len({row.rate for row in table if isfinite(row.rate)}) > 1
    figure, axes = _panels(len(judged), 4.4 if lines else 1.2 + 0.4 * len(table), sharey=not lines)
    for ax, score in zip(axes, judged, strict=True):
        draw = plot_score_by_rate if lines else plot_score_by_policy
        draw(ax, table, score).set_title(choice(table, score), pad=20 if lines else 10)
    if lines:
        _legend(figure, axes)
    return figure


def latency_figure(study: StudySpec, table: Sequence[Row]) -> Figure:
    """Distributions of TTFT and TBT at the highest rate at which every policy is stable."""
    shown = at_shown_rate(table)
    figure, axes = _panels(2, 4.6)
    figure.suptitle(why_shown(shown, table), x=0.01, ha="left", fontsize="medium", color=NOTE_COLOUR)
    for ax, metric in zip(axes, ("ttft", "tbt"), strict=True):
        bound = getattr(study.slo, metric, None)
        plot_latency(ax, shown, metric, bound).set_title(_excess(shown, metric, bound), pad=20)
    _legend(figure, axes)
    return figure


def _panels(count: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * count, height))
    return figure, list(np.atleast_1d(figure.subplots(1, count, sharey=sharey)))


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    handles, names = axes[0].get_legend_handles_labels()
    most = max(int(figure.get_figwidth() / (_INCHES_A_LETTER * max(map(len, names)) + _INCHES_A_LINE)), 1)
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), most))


def at_shown_rate(table: Sequence[Row]) -> list[Row]:
    """The rows of the highest rate at which every policy is stable, or of the lowest one if there is none."""
    unstable = {row.rate for row in table if row.unstable}
    rates = [row.rate for row in table]
    stable = [rate for rate in rates if rate not in unstable]
    rate = max(stable) if stable else min(rates)
    return [row for row in table if row.rate == rate or isnan(rate)]  # a trace of one request has no rate


def why_shown(shown: Sequence[Row], table: Sequence[Row]) -> str:
    """Of which rate the rows `shown` are, and why it is that one."""
    text = f"At {number(shown[0].rate)} requests/s"
    if any(row.unstable for row in shown):
        return f"{text}, where a queue grows"
    if any(row.unstable for row in table):
        return f"{text}, the highest rate at which no queue grows"
    return text


def _excess(shown: Sequence[Row], metric: str, bound: float | None) -> str:
    plain = f"{metric.upper()}"
    if bound is None:
        return plain
    names = short_names(row.policy for row in shown)
    over = ", ".join(f"{names[row.policy]} {number(_share_over(row, metric, bound), 2, 3)} %" for row in shown)
    text = f"{plain} > {_spell(bound)}: {over}"
    return text if len(text) <= _LONGEST_TITLE else plain


def _share_over(row: Row, metric: str, bound: float) -> float:
    """Percent of the values beyond the last bin edge that is not beyond `bound`."""
    edge = int(np.searchsorted(EDGES, bound * (1 + 1e-9), side="right")) - 1
    return float(100 * exceedance(row.latencies(metric))[max(edge, 0)])


def _spell(bound: float) -> str:
    return f"{bound:g} s" if bound >= 1 else f"{bound * 1e3:g} ms"
