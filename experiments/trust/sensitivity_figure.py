"""The sensitivity page's figures: whose winner stays, and how far differences move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.paper.panels import DPI
from experiments.paper.ranking import METRICS
from experiments.style import FIGURE_STYLE, NOTE_COLOUR
from experiments.trust.sensitivity_conclusions import (
    GOODPUT_CHOICE,
    HONEST_CHOICE,
    SMOOTH_CHOICE,
    SURGE_CHOICE,
    Conclusion,
    Verdict,
)
from experiments.trust.sensitivity_runs import Sensitivity
from experiments.trust.sensitivity_winners import Cell, Winner, cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINNERS = {Winner.KEPT: "#e8e8e8", Winner.OVERLAPS: "#9ecae9", Winner.OTHER: "#D55E00"}
_WINNER_WORDS = {
    Winner.KEPT: "the same best policies",
    Winner.OVERLAPS: "some the same",
    Winner.OTHER: "none the same",
}
_VERDICTS = {Verdict.HOLDS: "#0072B2", Verdict.OPEN: "#999999", Verdict.CONTRARY: "#D55E00"}
_DRAWN = (GOODPUT_CHOICE, HONEST_CHOICE, SMOOTH_CHOICE, SURGE_CHOICE)
"""The conclusions whose differences are drawn."""


def save_figures(found: Sensitivity, folder: Path) -> None:
    """Write sensitivity.png, the winners, and sensitivity_differences.png to the folder."""
    import matplotlib

    look = FIGURE_STYLE | {"savefig.dpi": DPI, "font.size": 9, "axes.titlesize": 10}
    with matplotlib.rc_context(cast(Any, look)):
        draw_winners(found).savefig(folder / "sensitivity.png")
        draw_differences(found).savefig(folder / "sensitivity_differences.png")


def draw_winners(found: Sensitivity) -> Figure:
    """A map for each rate: changes down, metrics across."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rates = next(iter(found.base.values())).rates
    figure = Figure(figsize=(5.6 * len(rates), 0.24 * len(found.changes) + 2.2))
    axes = figure.subplots(1, len(rates), sharey=True, squeeze=False)[0]
    for ax, rate in zip(axes, rates, strict=True):
        plot_winners(ax, cells(found, rate), [change.words for change, _ in found.changes])
        ax.set_title(f"{rate:g} requests/s")
    handles = [Patch(color=_WINNERS[winner], label=_WINNER_WORDS[winner]) for winner in Winner]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def plot_winners(ax: Axes, rows: Sequence[Sequence[Cell]], changes: Sequence[str]) -> Axes:
    """Each cell coloured by its winner, with the agreement of the order in it where that is below 1."""
    from matplotlib.colors import ListedColormap

    matrix = np.array([[cell.winner for cell in row] for row in rows])
    ax.imshow(matrix, cmap=ListedColormap(list(_WINNERS.values())), vmin=-0.5, vmax=2.5, aspect="auto")
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if cell.agreement < 0.995:
                ax.text(j, i, f"{cell.agreement:.2f}".replace("-", "−"), ha="center", va="center", fontsize=7)
    ax.set_xticks(range(len(METRICS)), [m.words for m in METRICS], rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(changes)), changes)
    ax.set_xticks(np.arange(len(METRICS) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(changes) - 1) + 0.5, minor=True)
    ax.tick_params(which="both", length=0)
    ax.grid(visible=False, which="major")
    ax.grid(visible=True, which="minor", color="white", linewidth=1.5)
    ax.spines[:].set_visible(False)
    return ax


def draw_differences(found: Sensitivity) -> Figure:
    """A panel for each of some conclusions: the difference that it rests on, after every change."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(3.0 * len(_DRAWN) + 1.0, 0.22 * len(found.changes) + 1.9))
    axes = figure.subplots(1, len(_DRAWN), sharey=True)
    for ax, conclusion in zip(axes, _DRAWN, strict=True):
        plot_differences(ax, found, conclusion)
    axes[0].set_yticks(range(len(found.changes)), [change.words for change, _ in found.changes])
    axes[0].invert_yaxis()
    dots = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=verdict.value)
        for verdict, colour in _VERDICTS.items()
    ]
    base = Line2D([], [], color=NOTE_COLOUR, linewidth=1, label="base, with its interval")
    figure.legend(handles=[base, *dots], loc="outside lower center", ncols=4)
    return figure


def plot_differences(ax: Axes, found: Sensitivity, conclusion: Conclusion) -> Axes:
    """The paired difference with its 95 % interval after every change, coloured by the verdict."""
    mean, half_width = conclusion.claim(found.base).difference
    ax.axvspan(mean - half_width, mean + half_width, color="#e6e6e6", linewidth=0)
    ax.axvline(mean, color=NOTE_COLOUR, linewidth=1)
    ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
    for row, (_, runs) in enumerate(found.changes):
        difference, colour = conclusion.claim(runs).difference, _VERDICTS[conclusion.verdict(runs)]
        ax.errorbar(
            difference.mean,
            row,
            xerr=difference.half_width,
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.2,
        )
    metric = conclusion.metric
    a, b = (policy.partition(":token")[0].replace("@hold_tokens:gap=0.1", ", held") for policy in conclusion[3:5])
    ax.set_title(f"{a} − ({b})" if "," in b else f"{a} − {b}", pad=18)
    ax.text(0, 1.01, f"{conclusion.rate:g} req/s, {conclusion.study}", transform=ax.transAxes, color=NOTE_COLOUR)
    ax.set_xlabel(f"{metric.words} ({metric.unit})" if metric.unit else metric.words)
    ax.grid(axis="y", visible=True)
    return ax
