"""The figures of a demonstration: the answer made by hand, the runs under load, and what patience changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.demos.hand import HandPair
from experiments.demos.outcome import Outcome, PartOutcome
from experiments.demos.patience import PatienceCurve, break_even
from experiments.demos.slopes import draw_slopes
from experiments.demos.timeline import draw_scores, draw_timeline
from experiments.style import FIGURE_STYLE, NOTE_COLOUR
from simulator.token_log import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALL, _OWN = "#0072B2", "#D55E00"
_WIDEST = 4


def draw_figures(folder: Path, outcome: Outcome) -> None:
    """Write hand.png, runs.png and, where requests are dropped for good, patience.png to `folder`, which exists."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        hand_figure(outcome.demo.hand, outcome.demo.title).savefig(folder / "hand.png")
        runs_figure(outcome).savefig(folder / "runs.png")
        for part in outcome.parts:
            if part.curves:
                patience_figure(part).savefig(folder / "patience.png")


def hand_figure(pair: HandPair, title: str) -> Figure:
    """Both timelines side by side, and under each its metrics."""
    from matplotlib.figure import Figure

    lines = 0.22 * len(pair.scores)
    figure = Figure(figsize=(10.4, 4.4 + lines))
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium", color=NOTE_COLOUR)
    grid = figure.subplots(2, 2, gridspec_kw={"height_ratios": [3.6, lines]})
    for i, answer in enumerate((pair.served, pair.treated)):
        draw_timeline(grid[0, i], pair, answer)
        draw_scores(grid[1, i], pair, answer)
    labelled = [ax.get_legend_handles_labels() for ax in grid[0]]
    by_name = {name: handle for handles, names in labelled for name, handle in zip(names, handles, strict=True)}
    figure.legend(by_name.values(), by_name.keys(), loc="outside lower center", ncols=len(by_name))
    return figure


def runs_figure(outcome: Outcome) -> Figure:
    """A block for each part, and in it a panel for each measure."""
    from matplotlib.figure import Figure

    columns = [_columns(len(part.findings)) for part in outcome.parts]
    rows = [-(-len(part.findings) // each) for part, each in zip(outcome.parts, columns, strict=True)]
    widest = max(columns)
    figure = Figure(figsize=(2.8 * widest, 3.4 * sum(rows)))
    blocks = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    for block, part, count in zip(blocks, outcome.parts, rows, strict=True):
        text = f"{part.part.where}; {len(part.study.seeds)} paired runs"
        block.suptitle(text, x=0.01, ha="left", fontsize="medium", color=NOTE_COLOUR)
        axes = block.subplots(count, widest, squeeze=False).ravel()
        for ax, finding in zip(axes, part.findings, strict=False):
            draw_slopes(ax, finding, part.part.labels)
        for ax in axes[len(part.findings) :]:
            ax.axis("off")
    return figure


def _columns(count: int) -> int:
    """As few rows as possible, as even as possible."""
    rows = -(-count // _WIDEST)
    return -(-count // rows)


def patience_figure(part: PartOutcome) -> Figure:
    """What dropping gains against patience, and where it stops to."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2))
    draw_patience(figure.subplots(), part)
    return figure


def draw_patience(ax: Axes, part: PartOutcome) -> Axes:
    """Means over pairs with their spread, for all users and for the dropped alone; a mark where each reaches 0."""
    total, own = break_even(part.curves)
    for words, colour, gains, ends in (
        ("all users", _ALL, [curve.total for curve in part.curves], total),
        ("the dropped users alone", _OWN, [curve.own for curve in part.curves], own),
    ):
        _band(ax, part.curves[0], np.array(gains), colour, words)
        if 0.0 < ends.mean < part.curves[0].patience[-1]:
            ax.plot(ends.mean, 0.0, marker="o", color=colour, zorder=4)
            ax.annotate(f"{ends.mean:.0f} s", (ends.mean, 0.0), (6, 6), textcoords="offset points", color=colour)
    ax.axhline(0.0, color=NOTE_COLOUR, linewidth=0.8)
    ax.set_xlim(0.0, part.curves[0].patience[-1])
    ax.set_title(f"What dropping gains at {part.part.where}")
    ax.set_xlabel("patience of a dropped user (s)")
    ax.set_ylabel("gain in smooth goodput (tokens/s)")
    ax.legend()
    return ax


def _band(ax: Axes, curve: PatienceCurve, gains: Floats, colour: str, words: str) -> None:
    ax.fill_between(curve.patience, gains.min(axis=0), gains.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    ax.plot(curve.patience, gains.mean(axis=0), color=colour, label=words)
