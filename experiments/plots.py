"""Figures of a study, each a function that draws on the axes it is given and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.aggregate import Row
from experiments.distributions import EDGES, Counts, exceedance
from experiments.labels import short_names
from experiments.numbers import number
from experiments.style import NOTE_COLOUR, UNSTABLE_COLOUR, policy_styles
from experiments.verdict import Score
from simulator.token_log import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_SHARE = 1e-4
_MARKED_SHARES = np.array([0.5, 0.1, 0.01, 0.001])


def plot_score_by_rate(ax: Axes, table: Sequence[Row], score: Score) -> Axes:
    """A line per policy over the finite rates, its 95 % interval as a band, unstable points hollow."""
    styles = policy_styles(row.policy for row in table)
    names = short_names(styles)
    for size, (policy, style) in zip(_sizes(len(styles)), styles.items(), strict=True):
        line = sorted((r for r in table if r.policy == policy and isfinite(r.rate)), key=lambda row: row.rate)
        rate = np.array([row.rate for row in line])
        mean = np.array([row.values[score.key].mean for row in line])
        half_width = np.nan_to_num([row.values[score.key].half_width for row in line])
        ax.fill_between(rate, mean - half_width, mean + half_width, color=style.colour, alpha=0.2, linewidth=0)
        look: dict[str, Any] = {
            "color": style.colour,
            "marker": style.marker,
            "markersize": size,
            "zorder": 3,
            "clip_on": False,
        }
        ax.plot(rate, mean, linestyle=style.dash, label=names[policy], **look)
        hollow = np.array([row.unstable for row in line], dtype=np.bool_)
        if hollow.any():
            ax.plot(rate[hollow], mean[hollow], linestyle="", markerfacecolor="white", **look)
    if ax.get_ylim()[0] > 0 or all(row.values[score.key].mean >= 0 for row in table):
        ax.set_ylim(bottom=0)
    _shade_unstable(ax, table)
    ax.set_xlabel("arrival rate (requests/s)")
    ax.set_ylabel(f"{score.words} ({_unit(score)})")
    return ax


def plot_score_by_policy(ax: Axes, table: Sequence[Row], score: Score) -> Axes:
    """A bar per policy with its 95 % interval, for a study of one rate; those of unstable runs hollow."""
    styles = policy_styles(row.policy for row in table)
    names = short_names(styles)
    for row in table:
        style, value = styles[row.policy], row.values[score.key]
        fill = "white" if row.unstable else style.colour
        look: dict[str, Any] = {"height": 0.5, "color": fill, "edgecolor": style.colour, "linewidth": 1.5}
        if isfinite(value.half_width):
            look |= {"xerr": value.half_width, "ecolor": "#333333", "capsize": 3}
        bar = ax.barh(names[row.policy], value.mean, **look)
        ax.bar_label(bar, [number(value.mean)], padding=6, color="#333333")
    ax.margins(x=0.15)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"{score.words} ({_unit(score)})")
    return ax


def plot_latency(ax: Axes, table: Sequence[Row], metric: str, bound: float | None = None) -> Axes:
    """A line per policy: the share of all `metric` values (ttft or tbt) that are longer than x; logarithmic axes.

    Marks are at P50, P90, P99 and P99.9. table: rows of one rate. bound: the SLO's, seconds, drawn as a line.
    """
    from matplotlib.ticker import FuncFormatter

    styles = policy_styles(row.policy for row in table)
    names = short_names(styles)
    for row in table:
        edges, share = _falling(row.latencies(metric))
        style = styles[row.policy]
        marks = np.unique(np.searchsorted(-share, -_MARKED_SHARES)) if len(share) else np.empty(0, dtype=np.int64)
        look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markevery": marks.tolist(), "zorder": 3}
        ax.plot(edges, share, linestyle=style.dash, label=names[row.policy], **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    ax.set_ylim(_LEAST_SHARE, 1.3)
    what = {"ttft": "time to first token", "tbt": "time between tokens"}[metric]
    ax.set_xlabel(f"{what} ({metric.upper()})")
    ax.set_ylabel(f"{'requests' if metric == 'ttft' else 'gaps'} that take longer")
    if bound is not None:
        _draw_bound(ax, bound)
    _name_times(ax)
    return ax


def _name_times(ax: Axes) -> None:
    """Ticks in s, ms and µs: powers of ten, and twice and five times those where less than two decades are seen."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    seconds, (left, right) = EngFormatter("s"), ax.get_xlim()
    digits = "25" if right < 100 * left else ""
    ax.xaxis.set_major_formatter(seconds)
    ax.xaxis.set_minor_formatter(FuncFormatter(lambda time, _: seconds(time) if f"{time:.0e}"[0] in digits else ""))


def _falling(counts: Counts) -> tuple[Floats, Floats]:
    """Bin edges from where all values are longer to where none is, and the share that is; empty without values."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return np.empty(0), np.empty(0)
    shown = slice(max(filled[0] - 1, 0), filled[-1] + 1)
    return EDGES[shown], np.maximum(exceedance(counts)[shown], _LEAST_SHARE / 10)


def _draw_bound(ax: Axes, bound: float) -> None:
    ax.axvline(bound, color=NOTE_COLOUR, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
    text = f" SLO {bound:g} s" if bound >= 1 else f" SLO {bound * 1e3:g} ms"
    ax.annotate(text, (bound, 1.0), xycoords=ax.get_xaxis_transform(), va="bottom", ha="center", color=NOTE_COLOUR)


def _shade_unstable(ax: Axes, table: Sequence[Row]) -> None:
    """Grey from halfway between the last rate at which every policy is stable and the first one that is not."""
    rates = sorted({row.rate for row in table if isfinite(row.rate)})
    unstable = [row.rate for row in table if row.unstable and isfinite(row.rate)]
    if not unstable:
        return
    first = min(unstable)
    before = [rate for rate in rates if rate < first]
    edge = (before[-1] + first) / 2 if before else ax.get_xlim()[0]
    right = ax.get_xlim()[1]
    ax.axvspan(edge, right, color=UNSTABLE_COLOUR, zorder=0)
    ax.set_xlim(right=right)
    ax.text(edge, 1.0, " unstable", transform=ax.get_xaxis_transform(), va="bottom", color=NOTE_COLOUR)


def _sizes(number: int) -> list[float]:
    """Marker sizes that leave the edge of a mark visible when another one lies on it."""
    return [max(9.5 - 3.0 * i, 4.5) for i in range(number)]


def _unit(score: Score) -> str:
    return score.unit.replace("req/s", "requests/s")
