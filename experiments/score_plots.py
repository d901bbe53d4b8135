"""Figures of scored logs, each a function that draws on the axes it is given and returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from experiments.numbers import number
from experiments.style import NOTE_COLOUR, policy_styles
from simulator.metrics.deadlines import deadline
from simulator.token_log import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DELIVERED_COLOUR, READ_COLOUR, WAIT_COLOUR = "#0072B2", "#D55E00", "#f7d9c4"
"""Of Okabe and Ito's, as everywhere; the last is a light tint of the second."""
_SPEED_TICKS = (1, 2, 5, 10, 20, 50, 100)


class Timeline(NamedTuple):
    """The tokens of one request. delivered: (n,) seconds since submission; start: of reading; speed: tokens/s."""

    delivered: Floats
    start: float
    speed: float

    def due(self) -> Floats:
        """When a reader who never waits is at each token, d_i = start + i/speed, seconds, (n,)."""
        return deadline(np.full(len(self.delivered), self.start), self._positions(), self.speed)

    def read(self) -> Floats:
        """When the reader is at each token: 1/speed after the one before it, and not before it is there, (n,).

        read_i = max over j ≤ i of (t_j + (i − j)/speed), and not before d_i; so read_n − d_n is the idle latency.
        """
        ahead = self._positions() / self.speed
        held_up: Floats = np.maximum.accumulate(self.delivered - ahead) + ahead
        return np.maximum(held_up, self.due())

    def _positions(self) -> Ints:
        return np.arange(1, len(self.delivered) + 1)


def plot_timeline(ax: Axes, timeline: Timeline) -> Axes:
    """Tokens delivered and tokens read over the time since submission; the wait between due and read is shaded."""
    from matplotlib.ticker import MaxNLocator

    delivered = np.concatenate(([0.0], timeline.delivered))
    due, read, tokens = _reading(timeline)
    ax.fill_betweenx(tokens, due, read, color=WAIT_COLOUR, linewidth=0, label="waiting")
    ax.plot(due, tokens, color=NOTE_COLOUR, linewidth=1.2, linestyle=(0, (4, 3)), label="read, if nobody waited")
    ax.step(delivered, np.arange(len(delivered)), where="post", color=DELIVERED_COLOUR, label="delivered")
    ax.plot(read, tokens, color=READ_COLOUR, label="read")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlabel("time since submission (s)")
    ax.set_ylabel("tokens")
    return ax


def _reading(timeline: Timeline) -> tuple[Floats, Floats, Floats]:
    """Due and read times and the tokens read by then; while the reader waits for a token, the count stands still."""
    due, read = (np.concatenate(([timeline.start], times)) for times in (timeline.due(), timeline.read()))
    tokens = np.arange(len(due), dtype=np.float64)
    waits = np.flatnonzero(np.diff(read) > (1 + 1e-9) / timeline.speed)
    return (
        np.insert(due, waits + 1, due[waits]),
        np.insert(read, waits + 1, read[waits + 1]),
        np.insert(tokens, waits + 1, tokens[waits]),
    )


def plot_idle_latency(ax: Axes, idle: Mapping[str, Floats]) -> Axes:
    """A line per log: the share of its requests whose readers wait longer than x; logarithmic in x."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    styles = policy_styles(idle)
    waits = np.concatenate([values[values > 0] for values in idle.values()])
    longest = waits.max() * 1.2 if len(waits) else 10.0
    shortest = min(waits.min() / 2, longest / 1000) if len(waits) else 0.1  # at least three decades
    for name, values in idle.items():
        x = np.concatenate(([shortest], np.unique(values[values > 0]), [longest]))
        longer = 1.0 - np.searchsorted(np.sort(values), x, side="right") / max(len(values), 1)
        never = f"{name}: {number(100 * float(np.mean(values <= 0)))} % never wait"
        style = styles[name]
        ax.step(x, 100 * longer, where="post", color=style.colour, linestyle=style.dash, label=never)
    if not len(waits):
        ax.text(0.5, 0.5, "no reader waits", transform=ax.transAxes, ha="center", color=NOTE_COLOUR)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(EngFormatter("s"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(shortest, longest)
    ax.set_ylim(0, 102)
    ax.set_xlabel("user idle latency")
    ax.set_ylabel("requests that wait longer (%)")
    return ax


def plot_curve(ax: Axes, curves: pd.DataFrame, against: Literal["alpha", "speed"], at: float | None) -> Axes:
    """A line per log: smooth goodput against `against`, the rows of `score_curves`; `at` is the user's own value."""
    rows = curves[curves["against"] == against]
    for name, style in policy_styles(rows["name"]).items():
        line = rows[rows["name"] == name]
        score = line["smooth_goodput_tokens_per_s"]
        ax.plot(line["x"], score, color=style.colour, linestyle=style.dash, label=name)
    if against == "speed":
        ax.set_xscale("log")
        ax.set_xticks(_SPEED_TICKS, [str(speed) for speed in _SPEED_TICKS])
        ax.minorticks_off()
    ax.margins(x=0)
    _show_zero(ax, rows["smooth_goodput_tokens_per_s"].dropna().to_numpy())
    if at is not None:
        ax.axvline(at, color=NOTE_COLOUR, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    ax.set_xlabel({"alpha": "price of waiting α", "speed": "reading speed (tokens/s)"}[against])
    ax.set_ylabel("smooth goodput (tokens/s)")
    return ax


def _show_zero(ax: Axes, values: Floats) -> None:
    """Limits that hold all values and 0, and a line at 0."""
    low, high = min(0.0, values.min(initial=0.0)), max(0.0, values.max(initial=0.0))
    margin = 0.05 * (high - low) or 1.0
    ax.set_ylim(low - margin if low < 0 else 0.0, high + margin)
    ax.axhline(0.0, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
