"""The theory page's figure: closed forms as lines, the engine as points, and below them how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.intervals import Interval
from experiments.paper.panels import DPI
from experiments.style import FIGURE_STYLE
from experiments.trust.queues import QUEUES
from experiments.trust.theory_points import ALTERED, Point, relative

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _POINT, _SLOW, _FAST = "#0072B2", "#000000", "#D55E00", "#009E73"
_ACROSS = 4


def save_figure(points: Sequence[Point], path: Path) -> None:
    """Write the figure of these points to `path`."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE | {"savefig.dpi": DPI, "font.size": 9, "axes.titlesize": 10})):
        figure(points).savefig(path)


def figure(points: Sequence[Point]) -> Figure:
    """A pair of axes per mean of each queue: its value, and its difference from theory in %."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys((point.queue, point.of) for point in points))
    down = -(-len(kinds) // _ACROSS)
    drawn = Figure(figsize=(3.1 * _ACROSS, 4.4 * down + 0.4))
    axes = drawn.subplots(2 * down, _ACROSS, height_ratios=[3, 2] * down, squeeze=False)
    for i, (name, of) in enumerate(kinds):
        row, column = divmod(i, _ACROSS)
        upper, lower = axes[2 * row][column], axes[2 * row + 1][column]
        own = [point for point in points if (point.queue, point.of) == (name, of)]
        _values(upper, own)
        _differences(lower, own)
        upper.set_xlim(lower.get_xlim())
        upper.tick_params(labelbottom=False)
    handles, names = axes[1][0].get_legend_handles_labels()
    line, label = axes[0][0].get_legend_handles_labels()
    drawn.legend([*line[:1], *handles], [*label[:1], *names], loc="outside lower center", ncols=5)
    return drawn


def _values(ax: Axes, points: Sequence[Point]) -> None:
    queue, loads = QUEUES[points[0].queue], [point.load for point in points]
    dense = np.linspace(min(loads), max(loads), 60)
    theory = [queue.theory(float(load))[points[0].of] / queue.mean_service for load in dense]
    ax.plot(dense, theory, color=_LINE, label="theory")
    means = np.array([point.simulated for point in points])
    ax.errorbar(loads, means[:, 0], means[:, 1], color=_POINT, marker="o", markersize=4, linestyle="", capsize=3)
    ax.set_ylim(0, 1.15 * max(*theory, *means[:, 0]))
    ax.set_title(points[0].queue if points[0].of == "sojourn" else f"{points[0].queue}: wait for a seat")
    ax.set_ylabel("mean (service times)")


def _differences(ax: Axes, points: Sequence[Point]) -> None:
    queue, loads = QUEUES[points[0].queue], [point.load for point in points]
    ax.axhline(0, color=_LINE, linewidth=1.5)
    aside = 0.03 * (loads[-1] - loads[0])
    _errors(ax, loads, points, [p.simulated for p in points], "simulated, with 95 % interval", _POINT, "o")
    for k, (colour, marker, shift) in enumerate(((_FAST, "v", -aside), (_SLOW, "^", aside))):
        label = f"step time {100 * (ALTERED[k] - 1):+.0f} %".replace("-", "−")
        _errors(ax, [load + shift for load in loads], points, [p.altered[k] for p in points], label, colour, marker)
    ax.set_xlabel("load" if queue.load < 1 else "mean number in service")
    ax.set_ylabel("difference (%)")


def _errors(
    ax: Axes,
    at: Sequence[float],
    points: Sequence[Point],
    means: Sequence[Interval],
    label: str,
    colour: str,
    marker: str,
) -> None:
    """The differences in % of these means from the points' theory."""
    shares = 100 * np.array([relative(mean, point.theory) for mean, point in zip(means, points, strict=True)])
    ax.errorbar(
        at, shares[:, 0], shares[:, 1], label=label, color=colour, marker=marker, markersize=4, linestyle="", capsize=3
    )
