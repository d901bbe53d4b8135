"""The figure of a capacity study: a panel for each condition, with the cost beside it where there are prices."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from experiments.capacity.good_tokens import good_tokens_words
from experiments.capacity.rows import CapacityRow
from experiments.capacity.words import by_condition, capacity_words, interval_words
from experiments.intervals import Interval
from experiments.labels import short_names
from experiments.style import FIGURE_STYLE, NOTE_COLOUR, policy_styles

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#333333"
_LINE = 0.4
"""Inches that a bar takes."""


def draw_capacity(path: Path, table: Sequence[CapacityRow]) -> None:
    """Write the figure to `path`, a PNG."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        capacity_figure(table).savefig(path)


def capacity_figure(table: Sequence[CapacityRow]) -> Figure:
    """A panel for each condition, and one beside it for the cost if there are prices."""
    from matplotlib.figure import Figure

    conditions = list(by_condition(table))
    priced = any(row.price is not None for row in table)
    height = 1.1 + _LINE * (_places(conditions[0][1])[-1] + 1)
    figure = Figure(figsize=(10.4 if priced else 6.8, height * len(conditions)))
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.1)
    axes = figure.subplots(len(conditions), 2 if priced else 1, squeeze=False, sharey="row")
    for (spelled, rows), panels in zip(conditions, axes, strict=True):
        plot_capacity(panels[0], rows).set_title(spelled)
        if priced:
            plot_cost(panels[1], rows).set_title(f"Good: {good_tokens_words(rows[0].condition)}")
    return figure


def plot_capacity(ax: Axes, rows: Sequence[CapacityRow]) -> Axes:
    """A bar for each row of one condition with its 95 % interval, grouped by profile."""
    _bars(ax, rows, [row.capacity for row in rows], [capacity_words(row) for row in rows])
    ax.set_xlabel("capacity of a replica (requests/s)")
    return ax


def plot_cost(ax: Axes, rows: Sequence[CapacityRow]) -> Axes:
    """Likewise for what a million good tokens cost."""
    costs = [row.cost_per_million_good_tokens for row in rows]
    _bars(ax, rows, costs, [interval_words(cost) for cost in costs])
    ax.set_xlabel("cost of a million good tokens (USD)")
    return ax


def _bars(ax: Axes, rows: Sequence[CapacityRow], values: Sequence[Interval], labels: Sequence[str]) -> None:
    names, places = short_names(row.policy for row in rows), _places(rows)
    styles = policy_styles(row.policy for row in rows)
    for row, place, (mean, half_width), label in zip(rows, places, values, labels, strict=True):
        colour = styles[row.policy].colour
        drawn = mean if isfinite(mean) else 0.0
        ax.barh(place, drawn, height=0.55, color=colour, edgecolor=colour)
        reach = half_width if isfinite(half_width) else 0.0
        if reach:
            ax.errorbar(drawn, place, xerr=reach, color=_INK, capsize=3, linewidth=1.4)
        ax.annotate(label, (drawn + reach, place), (6, 0), textcoords="offset points", va="center", color=_INK)
    ax.set_yticks(places, [names[row.policy] for row in rows])
    if len({row.profile for row in rows}) > 1:
        _name_profiles(ax, rows, places)
    ax.set_ylim(places[-1] + 0.6, -0.6 if places[0] == 0 else -0.4)
    ax.margins(x=0.25)
    ax.autoscale_view()
    ax.set_xlim(left=0)
    ax.grid(visible=False, axis="y")


def _name_profiles(ax: Axes, rows: Sequence[CapacityRow], places: Sequence[float]) -> None:
    """The name of each profile above its bars."""
    named: set[str] = set()
    for row, place in zip(rows, places, strict=True):
        if row.profile not in named:
            named.add(row.profile)
            where = (0.0, place - 0.65)
            ax.annotate(row.profile, where, (4, 0), textcoords="offset points", va="center", color=NOTE_COLOUR)


def _places(rows: Sequence[CapacityRow]) -> list[float]:
    """Where each bar is, from the top: a line apart, with a line for the name of a profile where there are several."""
    several = len({row.profile for row in rows}) > 1
    places, place, last = [], -1.0, None
    for row in rows:
        place += 1.9 if several and row.profile != last else 1.0
        places.append(place)
        last = row.profile
    return places
