"""The figures that scoring writes: which requests they show, what their titles say, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from experiments.numbers import number
from experiments.score_plots import Timeline, plot_curve, plot_idle_latency, plot_timeline
from experiments.score_values import ScoredLog
from experiments.style import FIGURE_STYLE
from simulator.metrics import User

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WORST = 3
_MOST_LOGS = 4


def draw_score_figures(
    folder: Path, table: Sequence[ScoredLog], requests: Mapping[str, pd.DataFrame], curves: pd.DataFrame, user: User
) -> list[str]:
    """Write timelines.png, idle_latency.png and smooth_goodput.png to `folder`, which exists.

    Returns notes on the logs that they leave out. Without a log whose token times are known there is none.
    """
    import matplotlib

    shown = [log for log in table if log.has_token_times]
    notes = [f"{log.name}: no token times, so not in the figures" for log in table if not log.has_token_times]
    if not shown:
        return notes
    with matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        timeline_figure(shown[:_MOST_LOGS], requests, user).savefig(folder / "timelines.png")
        idle_figure(shown, requests).savefig(folder / "idle_latency.png")
        curve_figure(curves, user).savefig(folder / "smooth_goodput.png")
    left_out = [f"{log.name}: not in timelines.png, which shows {_MOST_LOGS} logs" for log in shown[_MOST_LOGS:]]
    return [*notes, *left_out]


def timeline_figure(table: Sequence[ScoredLog], requests: Mapping[str, pd.DataFrame], user: User) -> Figure:
    """The finished requests whose readers wait longest, a row per log."""
    figure, axes = _panels(len(table), _WORST, 2.9)
    for log, row in zip(table, axes, strict=True):
        worst = worst_requests(requests[log.name])
        for i, ax in enumerate(row):
            if i >= len(worst):
                ax.set_axis_off()
                continue
            request = int(worst[i])
            table_row = requests[log.name].iloc[request]
            plot_timeline(ax, timeline(log, request, float(table_row["reading_speed"]), user))
            where = f"{log.name}, " if len(table) > 1 and i == 0 else ""
            ax.set_title(f"{where}row {table_row['row']}: waits {number(table_row['idle_latency'])} s", fontsize=10)
            if i:
                ax.set_ylabel("")
    _legend(figure, axes[0, 0])
    return figure


def worst_requests(table: pd.DataFrame) -> list[int]:
    """Numbers of the finished requests with the longest idle latency, the later first token first among equals."""
    some = table.reset_index(drop=True)
    some = some[(some["status"] == "finished") & (some["num_tokens"] > 0)]
    ranked = some.sort_values(["idle_latency", "ttft"], ascending=False, kind="stable")
    return [int(request) for request in ranked.index[:_WORST]]


def timeline(log: ScoredLog, request: int, speed: float, user: User) -> Timeline:
    """The tokens of a request as its reader sees them."""
    delivered = log.bench.log.token_times(request, request + 1).times - log.bench.log.arrival[request]
    start = float(delivered[0]) if user.origin == "first_token" else 0.0
    return Timeline(delivered, start, speed)


def idle_figure(table: Sequence[ScoredLog], requests: Mapping[str, pd.DataFrame]) -> Figure:
    """The distribution of user idle latency."""
    figure, axes = _panels(1, 1, 4.2, width=6.4)
    idle = {log.name: requests[log.name]["idle_latency"].to_numpy(dtype=np.float64) for log in table}
    plot_idle_latency(axes[0, 0], idle).set_title("How long readers wait in all")
    _legend(figure, axes[0, 0], columns=1)
    return figure


def curve_figure(curves: pd.DataFrame, user: User) -> Figure:
    """Smooth goodput against alpha and against reading speed, the user's own values marked."""
    figure, axes = _panels(1, 2, 4.2)
    left, right = axes[0]
    speed = user.speed if isinstance(user.speed, float) else None
    at_speed = f"{speed:g} tokens/s" if speed is not None else f"the {user.speed} mix"
    plot_curve(left, curves, "alpha", user.alpha).set_title(f"Readers of {at_speed}")
    plot_curve(right, curves, "speed", speed).set_title(f"Price of waiting {user.alpha:g}")
    _legend(figure, left)
    return figure


def _panels(rows: int, columns: int, height: float, width: float = 5.2) -> tuple[Figure, np.ndarray[Any, Any]]:
    from matplotlib.figure import Figure

    narrow = min(width, 12.6 / columns)
    figure = Figure(figsize=(narrow * columns, height * rows + 0.4))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _legend(figure: Figure, ax: Axes, columns: int | None = None) -> None:
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=columns or len(names))
